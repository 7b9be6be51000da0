// Texts to token numbers, from the file of the Hugging Face `tokenizers` library: those kinds of
// normaliser, splitter and model that an export allows, with the library's own numbers.

const SPACES = /\p{White_Space}+/u;
const CONTROL = /[\0\uFFFD\p{Co}]|(?![\t\n\r])\p{Cc}|\p{Cf}/gu;
const PUNCTUATION = /([\p{P}!-/:-@[-`{-~])/u;
const CHINESE = new RegExp(
  "[\\u4E00-\\u9FFF\\u3400-\\u4DBF\\u{20000}-\\u{2A6DF}\\u{2A700}-\\u{2B73F}" +
    "\\u{2B740}-\\u{2B81F}\\u{2B920}-\\u{2CEAF}\\uF900-\\uFAFF\\u{2F800}-\\u{2FA1F}]",
  "gu",
);
// GPT-2's pattern: short forms, words, numbers and signs with the space before them, spaces.
const WORDS = new RegExp(
  "'(?:s|t|re|ve|m|ll|d)| ?\\p{L}+| ?\\p{N}+| ?[^\\p{White_Space}\\p{L}\\p{N}]+" +
    "|\\p{White_Space}+(?!\\P{White_Space})|\\p{White_Space}+",
  "gu",
);

// Letter by letter: a whole word at once would give Greek another sigma at its end.
const lowercase = (text) => Array.from(text, (letter) => letter.toLowerCase()).join("");

export const NORMALIZERS = {
  NFC: () => (text) => text.normalize("NFC"),
  NFD: () => (text) => text.normalize("NFD"),
  NFKC: () => (text) => text.normalize("NFKC"),
  NFKD: () => (text) => text.normalize("NFKD"),
  Lowercase: () => lowercase,
  StripAccents: () => (text) => text.replace(/\p{M}/gu, ""),
  BertNormalizer: bertNormalizer,
  Sequence: ({ normalizers }) => chain(normalizers.map((config) => made(NORMALIZERS, config))),
};

export const SPLITTERS = {
  BertPreTokenizer: () => (text) =>
    text.split(SPACES).flatMap((word) => word.split(PUNCTUATION)).filter(Boolean),
  ByteLevel: byteLevel,
  Digits: ({ individual_digits: oneByOne }) => (text) =>
    text.split(oneByOne ? /(\p{N})/u : /(\p{N}+)/u).filter(Boolean),
  Split: () => (text) => Array.from(text),
  Sequence: ({ pretokenizers }) => {
    const parts = pretokenizers.map((config) => made(SPLITTERS, config));
    return (text) => parts.reduce((words, split) => words.flatMap(split), [text]);
  },
};

export const MODELS = { BPE: bpe, WordPiece: wordPiece, WordLevel: wordLevel };

const made = (table, config) => table[config.type](config);
const chain = (functions) => (text) => functions.reduce((value, change) => change(value), text);

export class Tokenizer {
  /**
   * @param {object} file What tokenizer.json holds.
   * @param {{prefix: number[], suffix: number[], padding: number}} frame Tokens around every text.
   */
  constructor(file, frame) {
    this.frame = frame;
    this.normalize = file.normalizer ? made(NORMALIZERS, file.normalizer) : (text) => text;
    this.split = file.pre_tokenizer ? made(SPLITTERS, file.pre_tokenizer) : (text) => [text];
    this.encodeWord = made(MODELS, file.model);
    this.added = new Map(file.added_tokens.map(({ content, id }) => [content, id]));
    const longestFirst = [...this.added.keys()].sort((a, b) => b.length - a.length);
    const choices = longestFirst.map((word) => word.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&"));
    this.special = choices.length ? new RegExp(`(${choices.join("|")})`, "u") : null;
  }

  /**
   * Return token numbers and mask of one length.
   * @param {string} text
   * @param {number} length Longer texts are cut, shorter ones padded at the end.
   */
  encode(text, length) {
    const { prefix, suffix, padding } = this.frame;
    const room = length - prefix.length - suffix.length;
    const content = this.tokens(text).slice(0, room);
    if (content.length === 0) throw new Error("There is no token in this text.");
    const ids = [...prefix, ...content, ...suffix];
    const row = Int32Array.from({ length }, (_, i) => ids[i] ?? padding);
    return { ids: row, mask: row.map((_, i) => (i < ids.length ? 1 : 0)), count: ids.length };
  }

  tokens(text) {
    const sections = this.special ? text.split(this.special) : [text];
    return sections.flatMap((section) => {
      if (this.added.has(section)) return [this.added.get(section)];
      const normal = this.normalize(section);
      return normal ? this.split(normal).flatMap(this.encodeWord) : [];
    });
  }
}

function bertNormalizer(config) {
  const steps = [];
  if (config.clean_text) {
    steps.push((text) => text.replace(CONTROL, "").replace(/\p{White_Space}/gu, " "));
  }
  if (config.handle_chinese_chars) steps.push((text) => text.replace(CHINESE, " $& "));
  if (config.strip_accents ?? config.lowercase) {
    steps.push((text) => text.normalize("NFD").replace(/\p{Mn}/gu, ""));
  }
  if (config.lowercase) steps.push(lowercase);
  return chain(steps);
}

function byteLevel({ add_prefix_space: prefix, use_regex: byWords = true }) {
  const letters = byteLetters();
  const encoder = new TextEncoder();
  const spell = (word) => Array.from(encoder.encode(word), (byte) => letters[byte]).join("");
  return (text) => {
    const whole = prefix && !text.startsWith(" ") ? ` ${text}` : text;
    return (byWords ? whole.match(WORDS) : [whole]).map(spell);
  };
}

/** The visible letter that GPT-2 writes each byte as. */
export function byteLetters() {
  const isVisible = (b) => (b > 32 && b < 127) || (b > 160 && b !== 173);
  let next = 256;
  return Array.from({ length: 256 }, (_, b) => String.fromCharCode(isVisible(b) ? b : next++));
}

function bpe({ vocab, merges, unk_token: unknown, ignore_merges: wholeFirst }) {
  const numbers = new Map(Object.entries(vocab));
  const pairs = merges.map((pair) => (Array.isArray(pair) ? pair : pair.split(" ")));
  const ranks = new Map(pairs.map(([left, right], rank) => [`${left}\0${right}`, rank]));
  return (word) => {
    if (wholeFirst && numbers.has(word)) return [numbers.get(word)];
    const parts = merged(Array.from(word), ranks);
    return parts.map((part) => numbers.get(part) ?? numbers.get(unknown)).filter(Number.isInteger);
  };
}

function merged(letters, ranks) {
  let parts = letters;
  for (;;) {
    let best = Infinity;
    const found = parts.map((part, i) => ranks.get(`${part}\0${parts[i + 1]}`));
    for (const rank of found) if (rank < best) best = rank;
    if (best === Infinity) return parts;
    const next = [];
    for (let i = 0; i < parts.length; i++) {
      next.push(found[i] === best ? parts[i] + parts[++i] : parts[i]);
    }
    parts = next;
  }
}

function wordPiece(config) {
  const numbers = new Map(Object.entries(config.vocab));
  const unknown = [numbers.get(config.unk_token)];
  return (word) => {
    const letters = Array.from(word);
    if (letters.length > config.max_input_chars_per_word) return unknown;
    const found = [];
    for (let start = 0, end; start < letters.length; start = end) {
      const before = start > 0 ? config.continuing_subword_prefix : "";
      const piece = () => before + letters.slice(start, end).join("");
      for (end = letters.length; end > start && !numbers.has(piece()); end--);
      if (end === start) return unknown;
      found.push(numbers.get(piece()));
    }
    return found;
  };
}

function wordLevel({ vocab, unk_token: unknown }) {
  const numbers = new Map(Object.entries(vocab));
  return (word) => [numbers.get(word) ?? numbers.get(unknown)];
}
