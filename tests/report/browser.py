"""Chromium without a window, driven through its DevTools protocol; nothing reaches the network."""

import base64
import itertools
import json
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

from websockets.sync.client import connect

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
# every name leads nowhere, so that what a page asks for cannot be had
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
    *("--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
)
PATIENCE = 30  # seconds


def program():
    """The browser of this machine; `None` where there is none."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


class Page:
    """A tab: what it asks for, what it complains of, and how to type and look."""

    def __init__(self, socket):
        self._socket, self._numbers = socket, itertools.count(1)
        self.requests, self.complaints = [], []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self("" + domain + ".enable")

    def __call__(self, method, **params):
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            said = self._receive()
            if said.get("id") == number:
                assert "error" not in said, said
                return said["result"]

    def _receive(self):
        said = json.loads(self._socket.recv(timeout=PATIENCE))
        self._note(said.get("method"), said.get("params", {}))
        return said

    def _note(self, method, params):
        if method == "Network.requestWillBeSent":
            url = params["request"]["url"]
            self.requests += [] if url.startswith(("file:", "data:")) else [url]
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(params["exceptionDetails"]["text"])
        elif method == "Log.entryAdded":
            self.complaints.append(params["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.complaints.append(str(params["args"]))

    def open(self, path, *, scripts=True, width=1100, height=900, dark=False):
        """Open a file or an address, and wait until all of it is there."""
        self("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.size(width, height)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self("Emulation.setEmulatedMedia", media="", features=[scheme])
        there = str(path).startswith("http:")
        self("Page.navigate", url=path if there else Path(path).resolve().as_uri())
        while self._receive().get("method") != "Page.loadEventFired":
            pass

    def size(self, width, height):
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self("Emulation.setDeviceMetricsOverride", **size)

    def value(self, expression):
        """What an expression comes to."""
        found = self("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def key(self, name, code=0, text=""):
        """Press a key and let go."""
        for kind in ("keyDown", "keyUp"):
            pressed = {"text": text} if kind == "keyDown" and text else {}
            self(
                "Input.dispatchKeyEvent",
                type=kind,
                key=name,
                code=name,
                windowsVirtualKeyCode=code,
                **pressed,
            )

    def picture(self, path, *, whole=True):
        """Write what is seen as a PNG."""
        found = self("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        Path(path).write_bytes(base64.b64decode(found["data"]))

    def pdf(self):
        """Return the page as it is printed, on paper of its own choice."""
        found = self("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        return base64.b64decode(found["data"])


@contextmanager
def browsing(folder):
    """A browser with one tab; what it keeps goes into `folder`."""
    words = [program(), *FLAGS, f"--user-data-dir={folder}", "about:blank"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        address = _address(process)
        with connect(address, max_size=1 << 28) as socket:
            socket.send(json.dumps({"id": 1, "method": "Target.getTargets"}))
            targets = json.loads(socket.recv(timeout=PATIENCE))["result"]["targetInfos"]
            tab = next(each["targetId"] for each in targets if each["type"] == "page")
        base = address.partition("/devtools/")[0]
        with connect(f"{base}/devtools/page/{tab}", max_size=1 << 28) as socket:
            yield Page(socket)
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE)
        process.stderr.close()


def _address(process):
    end = time.monotonic() + PATIENCE
    for line in process.stderr:
        if line.startswith("DevTools listening on "):
            return line.split()[-1]
        assert time.monotonic() < end
    raise AssertionError("the browser must say where it listens, got its end")
