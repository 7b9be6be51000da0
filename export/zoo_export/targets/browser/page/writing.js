// The form of a language model: a beginning, how to go on, and the text as it is written.

import { part, show } from "./elements.js";
import { asSeed, configured, write } from "./generate.js";

const ENDS = {
  stop: () => "The text is at its end.",
  length: () => "It has the length that you asked for.",
  context: ({ max_length: most }) =>
    `The context is full: the model has ${most} positions, for the beginning and what it writes.`,
  stopped: () => "You stopped it.",
};
const OPTIONS = { temperature: "temperature", top_k: "top-k", top_p: "top-p", max_new_tokens: "length" };

// The text that is being written, if one is.
let current = null;

/**
 * Show the form, and write when it is sent.
 * @param {object} model What loadModel gave.
 * @param {(error: Error) => void} fail Says what went wrong.
 */
export function takeBeginnings(model, fail) {
  fill(model.generation.config);
  part("write").addEventListener("submit", async (event) => {
    event.preventDefault();
    if (current) {
      current.isStopped = true;
      return;
    }
    current = { isStopped: false };
    part("go").textContent = "Stop";
    part("result").dataset.state = "running";
    try {
      await tell(model, current);
    } catch (error) {
      show("written", false);
      fail(error);
    }
    part("go").textContent = "Write";
    current = null;
  });
  part("beginning").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    part("write").requestSubmit();
  });
  part("temperature").addEventListener("input", drawing);
  show("write");
}

function fill(config) {
  const shown = config.do_sample ? config : { ...config, temperature: 0 };
  for (const [name, id] of Object.entries(OPTIONS)) part(id).value = shown[name];
  drawing();
}

/** What only counts where tokens are drawn is not asked for where none is. */
function drawing() {
  const isDrawn = part("temperature").valueAsNumber > 0;
  for (const id of ["top-k", "top-p", "seed"]) part(id).disabled = !isDrawn;
}

/** Write one text, each part as soon as it is there. */
async function tell(model, turn) {
  clear();
  const given = Object.entries(OPTIONS).map(([name, id]) => [name, part(id).valueAsNumber]);
  const seed = asSeed(part("seed").value);
  const config = configured(model.generation.config, { ...Object.fromEntries(given), seed });
  const begun = performance.now();
  let [first, last] = [begun, null];
  show("written");
  toEnd();
  for await (const piece of write(model, part("beginning").value, config)) {
    if (!last) first = performance.now();
    last = piece;
    followed(() => part("new").append(piece.text));
    await nextTask();
    if (turn.isStopped) break;
  }
  const rate = (last.tokens.length - 1) / ((performance.now() - first) / 1000);
  const ended = { ...last, finish: last.finish ?? "stopped" };
  followed(() => report(model, ended, config, first - begun, rate));
}

/** Keep the end of the result in sight while it grows, unless the reader has left it. */
function followed(grow) {
  const wasSeen = isEndSeen();
  grow();
  if (wasSeen) toEnd();
}

function isEndSeen() {
  return part("result").getBoundingClientRect().bottom <= innerHeight + 1;
}

function toEnd() {
  if (!isEndSeen()) part("result").scrollIntoView({ block: "end" });
}

function clear() {
  for (const id of ["error", "empty"]) show(id, false);
  part("old").textContent = part("beginning").value;
  part("new").textContent = "";
  part("ended").textContent = "";
  part("time").textContent = "";
}

function report({ generation }, { tokens, finish }, config, first, rate) {
  part("ended").textContent = ENDS[finish](generation);
  const count = `${tokens.length} ${tokens.length === 1 ? "token" : "tokens"}`;
  const facts = [count, `the first after ${first.toFixed(0)} ms`];
  if (tokens.length > 1) facts.push(`then ${rate.toFixed(0)} a second`);
  if (config.do_sample) facts.push(`seed ${config.seed}`);
  part("time").textContent = facts.join(", ");
  Object.assign(part("written").dataset, { tokens: JSON.stringify(tokens), finish });
  part("result").dataset.state = "done";
}

/** Let the page be painted, and hear of "Stop". */
function nextTask() {
  const { port1, port2 } = new MessageChannel();
  return new Promise((go) => {
    port1.onmessage = go;
    port2.postMessage(null);
  });
}
