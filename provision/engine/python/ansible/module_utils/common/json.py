"""JSON of the values that modules return."""

import datetime
import json
from collections.abc import Mapping, Set

from ansible.module_utils.common.text.converters import to_text


class AnsibleJSONEncoder(json.JSONEncoder):
    """Knows sets, bytes, mappings and dates besides."""

    def default(self, o):
        if isinstance(o, bytes):
            return to_text(o)
        if isinstance(o, Mapping):
            return dict(o)
        if isinstance(o, Set):
            return list(o)
        if isinstance(o, (datetime.date, datetime.datetime)):
            return o.isoformat()
        return super().default(o)
