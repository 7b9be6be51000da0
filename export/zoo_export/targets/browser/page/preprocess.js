// The steps of preprocessing, in the order in which model.json has them, for one raw input.

import { imagePixels } from "./pixels.js";

const ARRAYS = { float32: Float32Array, int32: Int32Array };

/**
 * Return the model's inputs by name, each with data and shape, and what they were made from.
 * @param {object} model What loadModel gave.
 * @param {ImageData|string|Object<string, number[]>} raw A picture, a text, or numbers by input.
 */
export function prepare(model, raw) {
  if (model.preprocessing.length === 0) return { arrays: asGiven(model.inputs, raw) };
  const arrays = {};
  const made = { arrays };
  for (const step of model.preprocessing) STEPS[step.step](step, raw, made, model);
  const names = new Set(model.inputs.map(({ name }) => name));
  if (!names.has("padding_mask")) delete arrays.padding_mask;
  return made;
}

const STEPS = {
  image(step, raw, made) {
    const pixels = imagePixels(raw, step);
    const shape = [1, ...step.size, step.channels];
    made.arrays[step.input] = { data: Float32Array.from(pixels.data), shape };
    made.pixels = pixels;
  },
  tokenize(step, raw, made, model) {
    if (!raw.trim()) throw new Error("This is an empty text: there is nothing to read in it.");
    const { ids, mask, count } = model.tokenizer.encode(raw, step.length);
    made.arrays[step.input] = { data: ids, shape: [1, step.length] };
    made.arrays.padding_mask = { data: mask, shape: [1, step.length] };
    // One text alone: all of it is the first segment, which the export has checked.
    if (step.segment_ids)
      made.arrays.segment_ids = { data: new Int32Array(step.length), shape: [1, step.length] };
    made.end = count - 1;
  },
  array(step, raw, made) {
    const numbers = step.source ? made.arrays[step.source].data : raw[step.input];
    if (step.source) delete made.arrays[step.source];
    checkCount(step.input, numbers, step.shape);
    const scaled = Float64Array.from(numbers, (x) => x * Math.fround(step.scale));
    made.arrays[step.input] = { data: ARRAYS[step.dtype].from(scaled), shape: [1, ...step.shape] };
  },
};

function asGiven(inputs, numbers) {
  const given = inputs.map(({ name, shape }) => {
    const sizes = shape.slice(1).map((size) => (typeof size === "number" ? size : null));
    const known = sizes.reduce((product, size) => product * (size ?? 1), 1);
    // One size that only the numbers tell, such as the length of a sequence.
    const rest = sizes.includes(null) ? Math.floor(numbers[name].length / known) : 1;
    const filled = sizes.map((size) => size ?? rest);
    checkCount(name, numbers[name], filled);
    return [name, { data: numbers[name], shape: [1, ...filled] }];
  });
  return Object.fromEntries(given);
}

function checkCount(name, numbers, shape) {
  const wanted = shape.reduce((product, size) => product * size, 1);
  if (numbers.length !== wanted || wanted === 0) {
    const sizes = shape.join(" × ");
    throw new Error(`“${name}” takes ${wanted || "some"} numbers (${sizes}), not ${numbers.length}.`);
  }
}
