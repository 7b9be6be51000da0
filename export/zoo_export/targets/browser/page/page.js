// What the page shows, and when it runs the model.

import { topAnswers } from "./answer.js";
import { Pad } from "./drawing.js";
import { element, part, show } from "./elements.js";
import { loadModel, run } from "./model.js";
import { decode } from "./pixels.js";
import { takeBeginnings } from "./writing.js";

const MAX_SHOWN = 200;

function describe(model) {
  document.title = model.name;
  part("name").textContent = model.name;
  part("about").textContent = model.summary;
  part("facts").replaceChildren(
    ...model.facts.flatMap(([name, value]) => [element("dt", name), element("dd", value)]),
  );
  part("notice").textContent = `Loading ${model.file} and the runtime that runs it …`;
}

let latest = 0;

/** Run the model on a raw input; an older input that is slower is not shown any more. */
async function predict(model, raw) {
  const turn = ++latest;
  part("result").dataset.state = "running";
  try {
    const value = await raw;
    const found = await run(model, value);
    if (turn === latest) report(model, found);
  } catch (error) {
    if (turn === latest) fail(error);
  }
}

function report(model, { outputs, pixels, end, times }) {
  show("error", false);
  show("empty", false);
  const answers = topAnswers(model, outputs, end);
  show("answers", answers !== null);
  part("answers").replaceChildren(...(answers ?? []).map(answerRow));
  part("time").textContent =
    `${times.run.toFixed(1)} ms in the model, ${times.prepare.toFixed(1)} ms to prepare the input`;
  part("tensors").replaceChildren(...Object.entries(outputs).map(tensorRow));
  show("raw");
  if (answers === null) part("raw").open = true;
  if (pixels) showPixels(pixels);
  part("result").dataset.state = "done";
  // On a phone it is below what was sent; who draws sees each stroke answered and is not moved.
  if (part("draw").hidden) part("result").scrollIntoView({ block: "nearest" });
}

function fail(error) {
  for (const id of ["answers", "raw", "empty"]) show(id, false);
  part("answers").replaceChildren();
  part("time").textContent = "";
  part("error").textContent = error.message;
  show("error");
  part("result").dataset.state = "failed";
}

function answerRow({ label, probability }) {
  const percent = 100 * probability;
  const bar = element("span", "", { className: "bar" });
  bar.style.width = `${percent}%`;
  const track = element("span", "", { className: "track", ariaHidden: "true" });
  track.append(bar);
  const row = element("li", "");
  row.dataset.label = label;
  row.dataset.probability = probability;
  const shown = percent >= 99.95 && percent < 100 ? "> 99.9 %" : `${percent.toFixed(1)} %`;
  row.append(element("span", label, { className: "label" }), track, element("span", shown));
  return row;
}

function tensorRow([name, { dims, data }]) {
  const numbers = Array.from(data.slice(0, MAX_SHOWN), (x) => Number(Number(x).toPrecision(6)));
  const rest = data.length - numbers.length;
  const row = element("div", "", { className: "tensor" });
  const title = element("h3", `${name} `);
  title.append(element("small", dims.join(" × ")));
  const more = rest > 0 ? ` … and ${rest.toLocaleString("en")} more` : "";
  row.append(title, element("pre", numbers.join(", ") + more));
  return row;
}

function showPixels({ data, width, height, channels }) {
  const rgba = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) rgba.data[4 * i + c] = data[i * channels + (channels === 1 ? 0 : c)];
    rgba.data[4 * i + 3] = 255;
  }
  const canvas = Object.assign(part("seen-pixels"), { width, height });
  canvas.getContext("2d").putImageData(rgba, 0, 0);
  part("seen-size").textContent = `${width} × ${height} pixels`;
  show("seen");
}

function takePictures(model) {
  const [{ channels }] = model.preprocessing;
  if (channels === 1) takeDrawings(model);
  show("file", channels !== 1);
  const take = (file) => {
    if (!file) return;
    URL.revokeObjectURL(part("shown").src);
    part("shown").src = URL.createObjectURL(file);
    show("shown");
    predict(model, decode(file));
  };
  part("picture").addEventListener("change", ({ target }) => take(target.files[0]));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    choose("file");
    take(event.dataTransfer.files[0]);
  });
  document.addEventListener("paste", ({ clipboardData }) => {
    if (clipboardData.files.length) choose("file");
    take(clipboardData.files[0]);
  });
}

function takeDrawings(model) {
  const pad = new Pad(part("pad"), part("cursor"), (picture) => predict(model, picture));
  const look = () => ({
    width: part("pen").valueAsNumber,
    whiteOnBlack: part("white-on-black").checked,
    span: part("fit").checked ? model.drawing.span : null,
  });
  part("white-on-black").checked = model.drawing.whiteOnBlack;
  pad.change(look());
  for (const id of ["pen", "white-on-black", "fit"]) {
    part(id).addEventListener("input", () => pad.change(look()));
  }
  part("clear").addEventListener("click", () => pad.clear());
  part("ways").addEventListener("change", ({ target }) => choose(target.value));
  show("ways");
  show("draw");
}

/** Show the pad or the place for files. */
function choose(way) {
  if (part("ways").hidden) return;
  part("ways").querySelector(`[value=${way}]`).checked = true;
  show("draw", way === "draw");
  show("file", way === "file");
}

function takeTexts(model) {
  const words = part("words");
  const send = (event) => {
    event.preventDefault();
    predict(model, words.value);
  };
  part("text").addEventListener("submit", send);
  words.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) send(event);
  });
  show("text");
}

function takeNumbers(model) {
  const fields = model.fields.map(({ name, dtype, shape, sample }) => {
    const label = element("label", `${name} `);
    const about = `${dtype}, ${shape.join(" × ") || "one number"}`;
    const box = element("textarea", sample.join(", "), { name, rows: 4, spellcheck: false });
    label.append(element("small", about), box);
    return label;
  });
  part("fields").replaceChildren(...fields);
  part("numbers").addEventListener("submit", (event) => {
    event.preventDefault();
    predict(model, readNumbers(event.target));
  });
  show("numbers");
}

async function readNumbers(form) {
  const boxes = Array.from(form.querySelectorAll("textarea"));
  return Object.fromEntries(boxes.map(({ name, value }) => [name, asNumbers(name, value)]));
}

function asNumbers(name, text) {
  const words = text.split(/[\s,;[\]]+/).filter(Boolean);
  const wrong = words.find((word) => !Number.isFinite(Number(word)));
  if (wrong) throw new Error(`“${name}” holds “${wrong}”, which is no number.`);
  return words.map(Number);
}

const KINDS = {
  image: takePictures,
  text: takeTexts,
  numbers: takeNumbers,
  writing: (model) => takeBeginnings(model, fail),
};

try {
  const model = await loadModel(describe);
  KINDS[model.kind](model);
  show("notice", false);
  show("main");
} catch (error) {
  part("notice").textContent = `The model cannot be loaded: ${error.message}`;
  part("notice").classList.add("failed");
}
