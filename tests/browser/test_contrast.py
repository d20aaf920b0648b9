"""Every text can be told from what it stands on, as Chromium draws it: 4.5 : 1, in light and in dark."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open, Server

LEAST = 4.5
FAINT = """(least) => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const known = new Map();
  const rgba = (color) => {
    if (!known.has(color)) {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = color;
      canvas.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
      known.set(color, [r, g, b, a / 255]);
    }
    return known.get(color);
  };
  const over = (top, below) => below.map((c, i) => (i < 3 ? top[3] * top[i] + (1 - top[3]) * c : 1));
  const linear = (c) => (c <= 10.3 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const host = (node) => (node.getRootNode() instanceof ShadowRoot ? node.getRootNode().host : null);
  const parent = (node) => node.parentElement || host(node);
  const ground = (node) => {
    const layers = [];
    let opacity = 1;
    for (let at = node; at; at = parent(at)) {
      const style = getComputedStyle(at);
      opacity *= Number(style.opacity);
      layers.push(rgba(style.backgroundColor));
    }
    return [layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255, 1]), opacity];
  };
  const faint = new Map();
  const look = (root) => {
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_ELEMENT);
    for (let node = walker.currentNode; node; node = walker.nextNode()) {
      if (node.shadowRoot) look(node.shadowRoot);
      const says = (child) => child.nodeType === 3 && /[\\p{L}\\p{N}]/u.test(child.data);
      if (![...node.childNodes].some(says)) continue;
      if (node.closest('style, script, title, noscript, [disabled], [aria-disabled="true"]')) continue;
      const seen = { opacityProperty: true, visibilityProperty: true, contentVisibilityAuto: true };
      if (!node.checkVisibility(seen)) continue;
      const style = getComputedStyle(node);
      if (/icon/i.test(style.fontFamily)) continue;
      const [below, opacity] = ground(node);
      const ink = rgba(node instanceof SVGElement ? style.fill : style.color);
      const drawn = over([ink[0], ink[1], ink[2], ink[3] * opacity], below);
      const [dark, light] = [luminance(drawn), luminance(below)].sort((a, b) => a - b);
      const ratio = (light + 0.05) / (dark + 0.05);
      if (ratio < least) {
        const key = `${node.tagName} ${node.getAttribute('class')} ${ratio.toFixed(2)}`;
        if (!faint.has(key)) faint.set(key, node.textContent.trim().slice(0, 40));
      }
    }
  };
  look(document.body);
  return [...faint].map(([key, text]) => `${key}: ${text}`);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_texts_are_legible(scheme: str, server: Server, visit: Open):
    at = visit(server, scheme=scheme, size=(1440, 2400))
    for path, there in (
        ("/", ".xtitle"),
        ("/feature?coder=sae&latent=4&panel=regenerate&window=full", ".row"),
        ("/features?coder=sae", "tbody tr"),
        ("/jobs?new=1", "h1"),
        ("/compare?view=pair&a=sae&latent_a=4&b=sae&latent_b=3", ".stack"),
        ("/compare?view=text&a=sae&b=transcoder&context=3", ".column"),
    ):
        at.goto(path)
        expect(at.page.locator(there).first).to_be_visible()
        at.settled()
        assert at.page.evaluate(FAINT, LEAST) == [], path
