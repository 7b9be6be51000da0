// A language model that writes: one token after another, with a cache of what it has read.

import * as ort from "./ort.wasm.bundle.min.mjs";
import { drawn, greatest, processors } from "./processors.js";
import { defaultRng } from "./random.js";
import { GrowingText } from "./text.js";

// Of the positions, a quarter becomes free when the beginning of a text is forgotten.
const FREED = 4;
const SEEDS = 1n << 63n;

/** Return how a text is written: as the model has it where a person does not say. */
export function configured(base, given) {
  const config = { ...base, ...given };
  return { ...config, do_sample: config.temperature > 0 };
}

/** Return a seed that was typed, or one that is drawn. */
export function asSeed(text) {
  const typed = text.trim();
  if (!typed) return BigInt(crypto.getRandomValues(new Uint32Array(1))[0]);
  if (!/^\d+$/.test(typed) || BigInt(typed) >= SEEDS) {
    throw new Error(`“${typed}” is no seed: that is a whole number from 0 on, below 2⁶³.`);
  }
  return BigInt(typed);
}

/**
 * Continue a text, and give each part as soon as it is sure.
 * @param {object} model What loadModel gave.
 * @param {string} prompt
 * @param {object} config Options; `seed` is a whole number (bigint).
 * @yields {{text: string, tokens: number[], finish: string|null}} `finish` is of the last part:
 *   "stop" at an end, "length" after max_new_tokens, "context" where no position is left.
 */
export async function* write(model, prompt, config) {
  const tokens = promptTokens(model, prompt, config);
  const text = new GrowingText(model.decode, tokens, config.stop_strings);
  const reader = new Reader(model);
  try {
    yield* written(reader, model.generation, text, tokens, config);
  } finally {
    reader.forget();
  }
}

async function* written(reader, { max_length: most }, text, prompt, config) {
  const steps = processors(config);
  const random = defaultRng([config.seed, 0n]);
  const whole = prompt.slice();
  const tokens = [];
  const isFull = () => most !== null && config.overflow === "stop" && whole.length > most;
  let finish = config.max_new_tokens === 0 ? "length" : null;
  while (!finish) {
    const logits = await reader.read(whole);
    const scores = steps.reduce((value, step) => step(value, whole, prompt.length), logits);
    const token = config.do_sample ? drawn(scores, random) : greatest(scores);
    whole.push(token);
    if (config.eos_token_id.includes(token)) {
      finish = "stop";
      break;
    }
    tokens.push(token);
    if (text.isStopped(tokens)) finish = "stop";
    else if (tokens.length >= config.max_new_tokens) finish = "length";
    else if (isFull()) finish = "context";
    yield { text: text.add(tokens), tokens, finish: null };
  }
  yield { text: text.end(tokens, finish === "stop"), tokens, finish };
}

/** Return the tokens of a text, with what its tokenizer puts before one. */
function promptTokens({ tokenizer, generation }, text, config) {
  if (/\p{Surrogate}/u.test(text)) throw new Error("There is half a character in this text.");
  const { prefix, suffix } = tokenizer.frame;
  const own = tokenizer.tokens(text);
  const tokens = own.length ? [...prefix, ...own] : [...prefix, ...suffix].slice(0, 1);
  if (!tokens.length && config.bos_token_id !== null) tokens.push(config.bos_token_id);
  if (!tokens.length) throw new Error("There is no token in this text: write how it begins.");
  checkPrompt(tokens, generation, config);
  return tokens.slice(-kept(tokens.length, generation.max_length));
}

function checkPrompt(tokens, { vocab_size: size, max_length: most }, { overflow }) {
  const wrong = tokens.find((token) => token >= size);
  if (wrong !== undefined) {
    throw new Error(`The text has the token ${wrong}: the model has the tokens 0 to ${size - 1}.`);
  }
  if (most !== null && tokens.length > most && overflow === "stop") {
    throw new Error(
      `The text has ${tokens.length} tokens and the model has ${most} positions: shorten it.`,
    );
  }
}

/** Return how many tokens of a text the model reads, with room for more if it was too long. */
function kept(length, most) {
  return most === null || length <= most ? length : Math.max(1, most - Math.floor(most / FREED));
}

/** The model with what it keeps of the text that it has read. */
class Reader {
  constructor({ session, generation }) {
    this.session = session;
    this.generation = generation;
    this.past = null;
    this.start = 0; // how many tokens at the beginning it has forgotten
    this.seen = 0; // up to which token it has read
  }

  /** Read what is new of a whole text and return the logits of its next token. */
  async read(whole) {
    const most = this.generation.max_length;
    if (most !== null && whole.length - this.start > most) {
      this.forget();
      this.start = whole.length - kept(whole.length - this.start, most);
    }
    this.past ??= this.nothing();
    const given = this.past;
    const feeds = {
      ...given,
      input_ids: int64(whole.slice(Math.max(this.seen, this.start))),
      attention_mask: int64(Array(whole.length - this.start).fill(1)),
    };
    const found = await this.session.run(feeds);
    this.past = Object.fromEntries(
      this.generation.cache.map(({ past, present }) => [past, found[present]]),
    );
    this.seen = whole.length;
    for (const tensor of Object.values(feeds)) tensor.dispose();
    return found.logits.data;
  }

  /** Free the memory of what was read. */
  forget() {
    for (const tensor of Object.values(this.past ?? {})) tensor.dispose();
    this.past = null;
    this.seen = 0;
  }

  nothing() {
    const empty = this.generation.cache.map(({ past, shape }) => {
      const dims = [1, ...shape.map((size) => size ?? 0)];
      const count = dims.reduce((product, size) => product * size, 1);
      return [past, new ort.Tensor("float32", new Float32Array(count), dims)];
    });
    return Object.fromEntries(empty);
  }
}

const int64 = (numbers) =>
  new ort.Tensor("int64", BigInt64Array.from(numbers, BigInt), [1, numbers.length]);
