"""The page to try a model: one document that asks this server and nobody else."""

import base64
import hashlib

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #222; }
form { display: flex; flex-wrap: wrap; gap: 1rem; align-items: end; margin: 1rem 0; }
label { display: flex; flex-direction: column; font-size: .85rem; color: #555; }
input, select, button { font: inherit; padding: .25rem .4rem; }
[hidden] { display: none; }
img { image-rendering: pixelated; max-width: 100%; background: #eee; }
#said { min-height: 1.5em; color: #a00; }
"""
SCRIPT = """
const at = (id) => document.getElementById(id);
const headers = () => ({"Content-Type": "application/json", ...(at("token").value ? {Authorization: "Bearer " + at("token").value} : {})});

async function answer(response) {
  if (response.ok) return response;
  if (response.status === 401) at("with-token").hidden = false;
  throw new Error((await response.json()).error);
}

async function describe() {
  const model = await (await answer(await fetch("v1/model", {headers: headers()}))).json();
  at("model").textContent = model.model + (model.version ? ", version " + model.version : "") + ", weights " + model.weights_sha256.slice(0, 12);
  at("n").max = model.max_images;
  const chosen = at("label").value;
  at("label").replaceChildren(new Option("as in the data", ""), ...model.classes.map((name, number) => new Option(name, number)));
  at("label").value = model.classes[chosen] === undefined ? "" : chosen;
  at("with-label").hidden = !model.conditional;
  at("with-truncation").hidden = !model.truncation;
}

async function make() {
  const asked = {seed: Number(at("seed").value), n: Number(at("n").value)};
  if (at("label").value !== "") asked.label = Number(at("label").value);
  if (!at("with-truncation").hidden && Number(at("truncation").value) < 1) asked.truncation = Number(at("truncation").value);
  const response = await answer(await fetch("v1/images", {method: "POST", headers: headers(), body: JSON.stringify(asked)}));
  URL.revokeObjectURL(at("images").src);
  at("images").src = URL.createObjectURL(await response.blob());
  at("images").alt = asked.n + " images from seed " + asked.seed;
}

async function go() {
  try { await describe(); await make(); at("said").textContent = ""; }
  catch (error) { at("said").textContent = error.message; }
}

at("form").addEventListener("submit", (event) => { event.preventDefault(); go(); });
at("truncation").addEventListener("input", () => { at("psi").textContent = at("truncation").value; });
go();
"""
DOCUMENT = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
<title>Ganline</title>
<style>{STYLE}</style>
<h1>Images by seed</h1>
<p id="model"></p>
<form id="form">
<label>seed <input id="seed" type="number" min="0" value="0" required></label>
<label>images <input id="n" type="number" min="1" value="16" required></label>
<label id="with-label" hidden>class <select id="label"></select></label>
<label id="with-truncation" hidden><span>truncation <output id="psi">1</output></span>
<input id="truncation" type="range" min="0.05" max="1" step="0.05" value="1"></label>
<label id="with-token" hidden>token <input id="token" type="password" autocomplete="off"></label>
<button>Make</button>
</form>
<p id="said" role="alert"></p>
<img id="images" alt="">
<script>{SCRIPT}</script>
</html>
"""


def policy() -> str:
    """The page's Content-Security-Policy: its own script and style, and requests to this server."""
    script, style = (f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in (SCRIPT, STYLE))
    return (
        f"default-src 'none'; script-src {script}; style-src {style}; img-src blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
