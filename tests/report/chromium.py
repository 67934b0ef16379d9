"""A headless Chromium, spoken to through pipes in its DevTools protocol."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for name in _NAMES if (path := shutil.which(name))), None)
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--use-angle=swiftshader-webgl",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


class Browser:
    """One page of one browser; `events` holds all that was reported about it."""

    def __init__(self, profile: Path) -> None:
        assert CHROMIUM is not None
        to_read, self.write = os.pipe()
        self.read, to_write = os.pipe()
        for handle in (to_read, to_write):
            os.set_inheritable(handle, True)
        # The protocol's pipes must be the descriptors 3 and 4.
        shell = f'exec 3<&{to_read} 4>&{to_write}; exec "$0" "$@"'
        command = ["bash", "-c", shell, CHROMIUM, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self.process = subprocess.Popen(
            command, pass_fds=(to_read, to_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(to_read)
        os.close(to_write)
        self.buffer, self.number, self.session = b"", 0, ""
        self.events: list[dict[str, Any]] = []
        target = next(t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command and its result."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write, json.dumps(message).encode() + b"\0")
        while True:
            reply = self._receive(600)
            if reply.get("id") == self.number:
                assert "error" not in reply, reply
                return reply["result"]
            self.events.append(reply)

    def _receive(self, patience: float) -> dict[str, Any]:
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.read], [], [], patience)
            chunk = os.read(self.read, 1 << 20) if ready else b""
            assert chunk, "the browser does not answer"
            self.buffer += chunk
        text, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(text)

    def value(self, expression: str) -> Any:
        """Value of a JavaScript expression in the page; promises are awaited."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def until(self, expression: str) -> Any:
        """The value of an expression as soon as it is true."""
        for _ in range(1200):
            if value := self.value(expression):
                return value
            time.sleep(0.1)
        raise AssertionError(f"{expression} did not become true")

    def open(self, page: Path, width: int = 1280, height: int = 900, scheme: str = "light") -> None:
        """Show a file and wait until its figures are drawn."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Page.navigate", url=page.as_uri())
        self.until("document.body && document.body.dataset.ready")

    def drag(self, x: float, y: float, by: tuple[float, float], moves: int = 4) -> None:
        """Press the mouse at a place of the window, move it, and let go."""
        held = {"button": "left", "buttons": 1, "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        self.call("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, **held)
        for k in range(1, moves + 1):
            at = {"x": x + by[0] * k / moves, "y": y + by[1] * k / moves}
            self.call("Input.dispatchMouseEvent", type="mouseMoved", **at, **held)
            time.sleep(0.05)
        end = {"x": x + by[0], "y": y + by[1]}
        self.call("Input.dispatchMouseEvent", type="mouseReleased", **end, **{**held, "buttons": 0})

    def picture(self, file: Path, whole: bool = False) -> None:
        """A PNG of the window, or of the whole page."""
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        file.write_bytes(base64.b64decode(data))

    def requests(self) -> list[str]:
        """Addresses that were asked for, but for data and blobs within the page."""
        sent = [e["params"] for e in self.events if e.get("method") == "Network.requestWillBeSent"]
        urls = [parameters["request"]["url"] for parameters in sent]
        return [u for u in urls if not u.startswith(("data:", "blob:"))]

    def complaints(self) -> list[str]:
        """Exceptions, and errors in the console (refusals of the content security policy are among them)."""
        found = []
        for event in self.events:
            kind, parameters = event.get("method"), event.get("params", {})
            logged = kind == "Log.entryAdded" and parameters["entry"]["level"] == "error"
            printed = kind == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "assert")
            if kind == "Runtime.exceptionThrown" or logged or printed:
                found.append(json.dumps(parameters))
        return found

    def close(self) -> None:
        """End the browser."""
        try:
            self.call("Browser.close")
        except (AssertionError, OSError):
            self.process.kill()
        self.process.wait(30)
        os.close(self.read)
        os.close(self.write)
