#!/bin/sh
# Makes sure that the browser tests find a Chromium: one on the PATH, else Debian's package when we may install it.
# AUTOINTERP_CHROMIUM names another one.
set -eu

if [ -n "${AUTOINTERP_CHROMIUM:-}" ]; then
    [ -x "$AUTOINTERP_CHROMIUM" ] && exit 0
    echo "AUTOINTERP_CHROMIUM=$AUTOINTERP_CHROMIUM is not an executable file." >&2
    exit 1
fi
for name in chromium chromium-browser google-chrome google-chrome-stable; do
    command -v "$name" >/dev/null 2>&1 && exit 0
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "No Chromium on the PATH: installing Debian's package."
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends chromium >/dev/null
    exit 0
fi
cat >&2 <<'MESSAGE'
The browser tests need Chromium, and none is on the PATH. Install it, for example
    sudo apt-get install chromium        (Debian)
    sudo snap install chromium           (Ubuntu)
    brew install --cask chromium         (macOS; then set AUTOINTERP_CHROMIUM to the executable)
or set AUTOINTERP_CHROMIUM to a Chromium or Chrome that you have. To run everything else:
    make check && .venv/bin/python -m pytest --ignore=tests/browser
MESSAGE
exit 1
