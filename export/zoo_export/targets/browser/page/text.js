// Tokens to text, as the `tokenizers` library decodes them, and a text while it grows.

import { byteLetters } from "./tokenizer.js";

// Tokens of the prompt with which the first new ones are decoded: a word may begin before them.
const CONTEXT = 16;
// A character has four bytes at most, and a token at least one.
const LONGEST_CHARACTER = 4;
const CLEANED = [
  [" .", "."], [" ?", "?"], [" !", "!"], [" ,", ","], [" ' ", "'"], [" n't", "n't"], [" 'm", "'m"],
  [" do not", " don't"], [" 's", "'s"], [" 've", "'ve"], [" 're", "'re"],
];

export const DECODERS = {
  ByteLevel: byteLevel,
  Fuse: () => (parts) => [parts.join("")],
  WordPiece: wordPiece,
  Sequence: ({ decoders }) => {
    const steps = decoders.map((config) => DECODERS[config.type](config));
    return (parts) => steps.reduce((value, step) => step(value), parts);
  },
};

/**
 * Return a function that makes a text of token numbers, without the special ones.
 * @param {object} file What tokenizer.json holds.
 */
export function decoder(file) {
  const words = new Map(Object.entries(file.model.vocab).map(([word, id]) => [id, word]));
  for (const { id, content, special } of file.added_tokens) {
    if (special) words.delete(id);
    else words.set(id, content);
  }
  const join = file.decoder ? DECODERS[file.decoder.type](file.decoder) : null;
  return (tokens) => {
    const parts = tokens.map((id) => words.get(id)).filter((word) => word !== undefined);
    return join ? join(parts).join("") : parts.join(" ");
  };
}

function byteLevel() {
  const bytes = new Map(byteLetters().map((letter, byte) => [letter, byte]));
  const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
  const encoder = new TextEncoder();
  const spelled = (part) => {
    const found = Array.from(part, (letter) => bytes.get(letter));
    return found.includes(undefined) ? Array.from(encoder.encode(part)) : found;
  };
  return (parts) => [utf8.decode(Uint8Array.from(parts.flatMap(spelled)))];
}

function wordPiece({ prefix, cleanup }) {
  const begun = (part) => (part.startsWith(prefix) ? part.slice(prefix.length) : ` ${part}`);
  const cleaned = (part) => CLEANED.reduce((text, [from, to]) => text.replaceAll(from, to), part);
  return (parts) => {
    const pieces = parts.map((part, at) => (at === 0 ? part : begun(part)));
    return cleanup ? pieces.map(cleaned) : pieces;
  };
}

/** One text while it is written. */
export class GrowingText {
  /**
   * @param {(tokens: number[]) => string} decode
   * @param {number[]} prompt Its first tokens.
   * @param {string[]} stops Strings that end it.
   */
  constructor(decode, prompt, stops) {
    this.decode = decode;
    this.stops = stops;
    this.context = prompt.slice(-CONTEXT);
    this.before = decode(this.context);
    this.shown = "";
  }

  /** Return the text of new tokens behind the prompt. */
  decoded(tokens) {
    const whole = this.decode([...this.context, ...tokens]);
    return whole.startsWith(this.before) ? whole.slice(this.before.length) : this.decode(tokens);
  }

  /** Whether a string that ends the text is in it. */
  isStopped(tokens) {
    return this.stops.length > 0 && this.cut(this.decoded(tokens)).isStopped;
  }

  /** Return what of the text of all new tokens is sure now and was not before. */
  add(tokens) {
    const { text } = this.cut(this.decoded(tokens));
    // What stands for bytes that are no whole character yet.
    const whole = text.replace(/\uFFFD+$/, "");
    const sure = text.length - whole.length >= LONGEST_CHARACTER ? text : whole;
    return this.show(sure.slice(0, sure.length - this.begunStop(sure)));
  }

  /** Return what of the finished text was not shown yet. */
  end(tokens, isStopped) {
    const text = this.decoded(tokens);
    return this.show(isStopped ? this.cut(text).text : text);
  }

  cut(text) {
    const places = this.stops.map((stop) => text.indexOf(stop)).filter((place) => place >= 0);
    const isStopped = places.length > 0;
    return { isStopped, text: isStopped ? text.slice(0, Math.min(...places)) : text };
  }

  show(text) {
    if (!text.startsWith(this.shown)) return ""; // a decoder that changes what it wrote
    const part = text.slice(this.shown.length);
    this.shown = text;
    return part;
  }

  /** Return how many letters at the end may be the beginning of a stop string. */
  begunStop(text) {
    const begun = (stop) => {
      let size = stop.length - 1;
      while (size > 0 && !text.endsWith(stop.slice(0, size))) size--;
      return size;
    };
    return Math.max(0, ...this.stops.map(begun));
  }
}
