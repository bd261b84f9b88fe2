"""A user's program: web servers check their ports, and rerun's own names start the same servers."""

from __future__ import annotations

import warnings
from typing import Any

import rerun as rerun_sdk

import rerun_mp as rr

rerun: Any = rerun_sdk  # it does not declare `bindings`


def refusal_of(port: Any, kind: type[Exception]) -> str:
    try:
        rr.start_web_viewer_server(port)
    except kind as error:
        return str(error)
    raise AssertionError(f"port {port!r} was accepted")


url = rr.start_web_viewer_server()
assert "something else may listen" in refusal_of(int(url.rpartition(":")[2]), rr.ViewerError)
for bad in (-1, 1 << 16, "9090", 1.5, True):
    assert repr(bad) in refusal_of(bad, rr.InvalidArgumentError)
assert rerun.bindings.get_app_url() == url
rr.init("rerun_mp_web")
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    shown = rr.serve_web_viewer(web_port=0, connect_to="rerun+http://127.0.0.1:1/proxy")
assert shown.endswith("?url=rerun%2Bhttp%3A%2F%2F127.0.0.1%3A1%2Fproxy"), shown
(warning,) = caught
assert "no browser" in str(warning.message), warning
assert warning.filename == __file__, warning
rerun.start_web_viewer_server()
assert rerun.bindings.get_app_url() not in (url, shown.partition("?")[0])
