// The model of this folder, as model.json describes it, in ONNX Runtime.

import * as ort from "./ort.wasm.bundle.min.mjs";
import { prepare } from "./preprocess.js";
import { decoder } from "./text.js";
import { Tokenizer } from "./tokenizer.js";

const place = (name) => new URL(encodeURIComponent(name), import.meta.url).href;
ort.env.wasm.wasmPaths = { wasm: place("ort-wasm-simd-threaded.wasm") };

const ARRAYS = {
  float32: Float32Array,
  int32: Int32Array,
  int64: { from: (numbers) => BigInt64Array.from(numbers, (x) => BigInt(x)) },
  bool: Uint8Array,
  uint8: Uint8Array,
};

/** Return what model.json says, with the tokenizer and the session that it needs. */
export async function loadModel(onDescribed) {
  const model = await (await fetched("model.json")).json();
  onDescribed(model);
  if (model.frame) {
    const file = await (await fetched("tokenizer.json")).json();
    model.tokenizer = new Tokenizer(file, model.frame);
    model.decode = decoder(file);
  }
  model.session = await opened(model);
  return model;
}

/** Open the model; of one that writes, the function with a cache, whose weights are in its file. */
function opened({ file, generation }) {
  if (!generation) return ort.InferenceSession.create(place(file));
  const externalData = [{ path: file, data: place(file) }];
  return ort.InferenceSession.create(place(generation.file), { externalData });
}

async function fetched(name) {
  const answer = await fetch(place(name));
  if (!answer.ok) throw new Error(`${name} is missing: copy the whole folder (${answer.status}).`);
  return answer;
}

/**
 * Preprocess one raw input, run it, and say how long each took in milliseconds.
 * @param {object} model What loadModel gave.
 * @param {ImageData|string|Object<string, number[]>} raw
 */
export async function run(model, raw) {
  const begun = performance.now();
  const { arrays, pixels, end } = prepare(model, raw);
  const feeds = {};
  for (const { name, dtype } of model.inputs) {
    const { data, shape } = arrays[name];
    feeds[name] = new ort.Tensor(dtype, ARRAYS[dtype].from(data), shape);
  }
  const ready = performance.now();
  // The first run makes plans and pages; what follows is what it takes.
  if (!model.warm) await model.session.run(feeds);
  model.warm = true;
  const started = performance.now();
  const outputs = await model.session.run(feeds);
  const times = { prepare: ready - begun, run: performance.now() - started };
  return { outputs, pixels, end, times };
}
