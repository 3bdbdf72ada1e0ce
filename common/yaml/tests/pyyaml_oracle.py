#!/usr/bin/env python3
"""What PyYAML makes of YAML texts, as JSON for tests/oracle.rs.

  pyyaml_oracle.py tests/data/corpus.txt > tests/data/pyyaml_corpus.json   regenerates the committed corpus
  pyyaml_oracle.py --files LIST > FILE                                     a large corpus: LIST names one file per line

Needs PyYAML with libyaml, as ansible-core uses it. The loader is AnsibleLoader's: the safe one
plus !unsafe, !vault; dates stay text, because our reader keeps them so; tags it does not know are kept.
"""
import base64
import json
import sys

import yaml


class Tagged:
    def __init__(self, tag, value):
        self.tag, self.value = tag, value


class Loader(yaml.CSafeLoader):
    def construct_mapping(self, node, deep=False):
        return super().construct_mapping(node, deep=True)


def any_tag(loader, suffix, node):
    tag = "!" + suffix
    if isinstance(node, yaml.ScalarNode):
        return Tagged(tag, node.value)
    if isinstance(node, yaml.SequenceNode):
        return Tagged(tag, loader.construct_sequence(node, deep=True))
    return Tagged(tag, loader.construct_mapping(node, deep=True))


Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: loader.construct_scalar(node))
Loader.add_constructor("tag:yaml.org,2002:value", lambda loader, node: loader.construct_scalar(node))
Loader.add_constructor("tag:yaml.org,2002:merge", lambda loader, node: loader.construct_scalar(node))
Loader.add_multi_constructor("!", any_tag)
Loader.add_multi_constructor("tag:yaml.org,2002:", lambda loader, suffix, node: any_tag(loader, "!" + suffix, node))
Loader.add_multi_constructor("tag:", lambda loader, suffix, node: any_tag(loader, f"<tag:{suffix}>", node))


def encode(value, inside_unsafe=False):
    if isinstance(value, Tagged):
        unsafe = inside_unsafe or value.tag == "!unsafe"
        return {"tag": value.tag, "value": encode(value.value, unsafe)}
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return {"int": str(value)}
    if isinstance(value, float):
        return {"float": repr(value)}
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        return [encode(item, inside_unsafe) for item in value]
    if isinstance(value, set):
        return [encode(item, inside_unsafe) for item in value]
    if isinstance(value, dict):
        return {"map": [[encode(k, inside_unsafe), encode(v, inside_unsafe)] for k, v in value.items()]}
    raise TypeError(type(value))


def case(name, text):
    try:
        documents = [encode(document) for document in yaml.load_all(text, Loader)]
        return {"name": name, "text": text, "documents": documents}
    except Exception as error:  # PyYAML raises ValueError and others for bad scalars
        return {"name": name, "text": text, "error": str(error)}


def main():
    if sys.argv[1] == "--files":
        for name in open(sys.argv[2]).read().split("\n"):
            if not name:
                continue
            try:
                text = open(name, encoding="utf-8", newline="").read()
            except (UnicodeDecodeError, OSError):
                continue
            print(json.dumps(case(name, text)))
        return
    cases = open(sys.argv[1], encoding="utf-8", newline="").read().split("=====")
    for index, text in enumerate(cases):
        # Escapes let the corpus hold tabs, carriage returns and byte order marks in the open; ␃ ends a text.
        text = text.removeprefix("\n").split("␃")[0].replace("␉", "\t").replace("␍", "\r").replace("␀", "\0").replace("␂", "\ufeff")
        print(json.dumps(case(f"case {index + 1}", text)))


main()
