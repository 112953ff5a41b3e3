"""A headless Chromium, driven through chromedriver by the WebDriver protocol (W3C), with nothing but the standard library.

Debian's packages: chromium and chromium-driver.
"""

import base64
import json
import re
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the protocol's name for a reference to an element


def missing():
    """The programs that a browser needs and that are not installed here."""
    return [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]


class Browser:
    """One window. To be used in a with statement, which closes it."""

    def __init__(self, width, height):
        self._profile = tempfile.TemporaryDirectory(prefix="osmem-browser-", ignore_cleanup_errors=True)
        self._driver = subprocess.Popen(
            [shutil.which("chromedriver"), "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        for line in self._driver.stdout:
            started = re.search(r"started successfully on port (\d+)", line)
            if started:
                break
        else:
            raise RuntimeError("chromedriver does not start")
        self._base = "http://127.0.0.1:" + started.group(1)
        options = [
            "--headless=new",
            "--no-sandbox",  # which root may not use
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--force-device-scale-factor=1",
            f"--window-size={width},{height}",
            f"--user-data-dir={self._profile.name}",
        ]
        capabilities = {
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": shutil.which("chromium"), "args": options},
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        answer = self._post("/session", {"capabilities": {"alwaysMatch": capabilities}})
        self._base += "/session/" + answer["sessionId"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self._request("DELETE", "", None)
        except (OSError, RuntimeError):
            pass
        self._driver.terminate()
        self._driver.wait()
        self._profile.cleanup()

    def _request(self, method, path, body):
        request = urllib.request.Request(
            self._base + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method} {path}: {error.read().decode()}") from error

    def _post(self, path, body):
        return self._request("POST", path, body)

    def open(self, path):
        self._post("/url", {"url": "file://" + path})

    def run(self, script, *arguments):
        """What the body of a function returns."""
        return self._post("/execute/sync", {"script": script, "args": arguments})

    def frames(self, count=2):
        """Waits until the page has been drawn so many times at least."""
        script = """const done = arguments[arguments.length - 1];
            let left = arguments[0];
            const next = () => left-- > 0 ? requestAnimationFrame(next) : done();
            next();"""
        self._post("/execute/async", {"script": script, "args": [count]})

    def _pointer(self, *actions):
        self._post(
            "/actions",
            {"actions": [{"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": actions}]},
        )

    @staticmethod
    def _move(x, y, duration=0):
        return {"type": "pointerMove", "x": round(x), "y": round(y), "duration": duration}

    def move(self, x, y):
        self._pointer(self._move(x, y))
        self.frames()

    def click(self, x, y):
        self._pointer(self._move(x, y), {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0})
        self.frames()

    def drag(self, x, y, to_x, to_y):
        down, up = {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}
        self._pointer(self._move(x, y), down, self._move(to_x, to_y, 200), up)
        self.frames()

    def wheel(self, x, y, delta):
        scroll = {"type": "scroll", "x": round(x), "y": round(y), "deltaX": 0, "deltaY": delta, "duration": 0}
        self._post("/actions", {"actions": [{"type": "wheel", "id": "wheel", "actions": [scroll]}]})
        self.frames()

    def press(self, selector, keys):
        """Types keys into an element; those without a character by their code in the protocol."""
        element = self._post("/element", {"using": "css selector", "value": selector})[ELEMENT]
        self._post(f"/element/{element}/value", {"text": keys})
        self.frames()

    def screenshot(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self._request("GET", "/screenshot", None)))

    def command(self, name, parameters):
        """One of the browser's own protocol (CDP)."""
        return self._post("/goog/cdp/execute", {"cmd": name, "params": parameters})

    def console(self):
        """What pages have logged since this was asked for the last time; the browser's own pages are none of ours."""
        messages = [entry["message"] for entry in self._post("/se/log", {"type": "browser"})]
        return [message for message in messages if not message.startswith("chrome://")]
