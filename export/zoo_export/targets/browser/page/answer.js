// What the outputs mean: labels with their probabilities, best first.

const TOP = 5;

/**
 * Return the most probable answers, or null where the task has none.
 * @param {object} model What loadModel gave.
 * @param {Object<string, {data: Float32Array, dims: number[]}>} outputs
 * @param {number} [end] Where the text's last real token is.
 */
export function topAnswers({ task, labels }, outputs, end) {
  const logits = outputs.logits;
  if (!logits || !(task?.endsWith("classification") || task === "causal-lm")) return null;
  const row = task === "causal-lm" ? rowAt(logits, end) : logits;
  if (row.dims.length !== 2) return null; // a label for each token: shown as numbers
  const shares = probabilities(Array.from(row.data));
  const order = shares.map((_, index) => index).sort((a, b) => shares[b] - shares[a]);
  return order.slice(0, TOP).map((index) => ({
    label: labels?.[index] ?? String(index),
    probability: shares[index],
  }));
}

function rowAt({ data, dims: [, length, width] }, end = length - 1) {
  return { data: data.subarray(end * width, (end + 1) * width), dims: [1, width] };
}

/** Return probabilities of logits; one logit alone means no or yes. */
export function probabilities(logits) {
  const all = logits.length === 1 ? [0, ...logits] : logits;
  const highest = all.reduce((a, b) => Math.max(a, b));
  const powers = all.map((value) => Math.exp(value - highest));
  const total = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / total);
}
