# Arguments are checked by the module itself (nanobind); its callers in this package give their types.
from typing import Any

def __getattr__(name: str) -> Any: ...
