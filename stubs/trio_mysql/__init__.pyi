from typing import Any

from . import err as err
from .connections import Connection as Connection

def connect(**options: Any) -> Connection: ...
