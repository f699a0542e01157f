"""A headless Chromium: pages as a reader's browser lays them out."""

import html
import re
import shutil
import subprocess

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-default-apps", "--disable-extensions", "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr", "--hide-scrollbars",
)  # fmt: skip
"""As root too, and without any connection."""


def find():
    """The browser's command; the test is skipped where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is on PATH")
    return found


def run(folder, *arguments):
    """Run the browser to its end, with an empty profile in a folder; (stdout, stderr)."""
    done = subprocess.run(
        [find(), *FLAGS, f"--user-data-dir={folder / 'profile'}", *arguments],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return done.stdout, done.stderr


def console(stderr):
    """What pages wrote to the console, errors and refusals of their policy among it."""
    return re.findall(r"CONSOLE.*", stderr)


def layout(page, folder, widths):
    """Lay a page out in windows of some widths in pixels; a real one can't be a phone's.

    Copies of the page go into frames of those widths. To measure, they get a script, for which
    their policy has to give way; what that refuses shows where the page itself is loaded.

    Returns:
        For each width, that of the contents in pixels, and the elements that reach beyond the
        frame, but for those in boxes that scroll on their own.
    """
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    framed = text.replace("</body>", f"<script>{_MEASURE}</script></body>")
    assert framed != text
    frames = "".join(
        f'<iframe style="border: 0; width: {width}px; height: 500px" '
        f'srcdoc="{html.escape(framed)}"></iframe>'
        for width in widths
    )
    outer = folder / "frames.html"
    outer.write_text(
        '<!DOCTYPE html><meta charset="utf-8"><body><pre></pre><script>'
        'onmessage = e => { document.querySelector("pre").textContent += e.data + "\\n"; }'
        f"</script>{frames}</body>",
        "utf-8",
    )
    dom, _ = run(folder, "--virtual-time-budget=5000", "--dump-dom", outer.as_uri())
    lines = html.unescape(re.search("<pre>(.*?)</pre>", dom, re.DOTALL).group(1)).splitlines()
    found = [line.split(" ") for line in lines]
    return {int(width): (int(contents), wide) for width, contents, *wide in found}


_MEASURE = """
addEventListener("load", () => {
  const wide = [];
  for (const e of document.querySelectorAll("body *")) {
    if (e.closest("svg") && e.tagName !== "svg") continue;
    const scrolls = p => p && p !== document.body &&
      (["auto", "scroll"].includes(getComputedStyle(p).overflowX) || scrolls(p.parentElement));
    if (e.getBoundingClientRect().right > innerWidth + 0.5 && !scrolls(e.parentElement))
      wide.push(e.tagName + "." + (e.getAttribute("class") ?? "").replaceAll(" ", "."));
  }
  parent.postMessage([innerWidth, document.documentElement.scrollWidth, ...wide].join(" "), "*");
});
"""
