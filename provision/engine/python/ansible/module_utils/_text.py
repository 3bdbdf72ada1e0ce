"""Old place of the conversions between text and bytes."""

import codecs

from ansible.module_utils.common.text.converters import to_bytes, to_native, to_text
from ansible.module_utils.six import PY3, binary_type, text_type

__all__ = ["PY3", "binary_type", "codecs", "text_type", "to_bytes", "to_native", "to_text"]
