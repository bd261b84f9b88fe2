"""Makes wrong calls, each once in lax and once in strict mode: wrong_calls_one_by_one.py FILE CALLS.

CALLS is a JSON list of pairs: a name and the source of a call. Prints a JSON object: name -> the warnings and the
exception of lax mode, and the outcome of strict mode. Logs a row after each.
"""

from __future__ import annotations

import json
import sys
import warnings

import rerun_mp as rr

rr.init("rerun_mp_bad")
rr.save(sys.argv[1])
rr.set_time("good", sequence=1)
messages: dict[str, tuple[list[str], list[str], str]] = {}
for number, (call, source) in enumerate(json.loads(sys.argv[2])):
    raised: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            eval(source)
        except Exception as error:  # noqa: BLE001 (any exception is an outcome)
            raised.append(str(error))
    lax = [str(warning.message) for warning in caught]
    rr.set_strict_mode(True)
    try:
        strict = repr(eval(source))
    except Exception as error:  # noqa: BLE001 (any exception is an outcome)
        strict = f"raised {error}"
    rr.set_strict_mode(False)
    messages[call] = (lax, raised, strict)
    rr.log("good", rr.Scalars(float(number)))
print(json.dumps(messages))
