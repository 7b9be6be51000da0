// What changes the scores of the next token, and which token is taken: as Python does it.

/**
 * Return the functions that an options' table asks for, in the order of transformers.
 * @param {object} config As Python's GenerationConfig names them.
 * @returns {((scores: Float32Array, tokens: number[], prompt: number) => Float32Array)[]} Each is
 *   given the whole text and how many of its tokens are the prompt; -Infinity never comes.
 */
export function processors(config) {
  const ends = config.eos_token_id;
  const isEnd = (words) => words.length === 1 && ends.includes(words[0]);
  const banned = config.bad_words_ids.filter((words) => !isEnd(words));
  const [begin, end] = [config.forced_bos_token_id, config.forced_eos_token_id];
  const found = [
    [config.repetition_penalty !== 1, () => penalized(config.repetition_penalty)],
    [config.no_repeat_ngram_size, () => noNgramTwice(config.no_repeat_ngram_size)],
    [banned.length, () => withoutWords(banned)],
    [config.min_new_tokens && ends.length, () => notEnded(config.min_new_tokens, ends)],
    [begin !== null, () => forced((tokens, prompt) => prompt === 1 && tokens.length === 1, begin)],
    [end !== null, () => forced(behind(config.max_new_tokens - 1), end)],
    [config.suppress_tokens.length, () => without(config.suppress_tokens)],
    [config.begin_suppress_tokens.length, () => without(config.begin_suppress_tokens, behind(0))],
  ];
  if (config.do_sample) {
    found.push(
      [config.temperature !== 1, () => tempered(config.temperature)],
      [config.top_k, () => topK(config.top_k)],
      [config.top_p < 1, () => topP(config.top_p)],
      [config.min_p, () => minP(config.min_p)],
      [config.typical_p < 1, () => typical(config.typical_p)],
    );
  }
  return found.filter(([wanted]) => wanted).map(([, make]) => make());
}

// Loops and not functions from here on: a vocabulary is long, and each token waits for this.

/** Return the place of the greatest score; of equal ones the first. */
export function greatest(scores) {
  let best = 0;
  for (let at = 1; at < scores.length; at++) if (scores[at] > scores[best]) best = at;
  return best;
}

/** Return a token: the place of one random number among the cumulated probabilities. */
export function drawn(scores, random) {
  const shares = probabilities(scores);
  let total = 0;
  for (const share of shares) total += share;
  const wanted = random() * total;
  const place = firstAbove(shares, wanted);
  return place < 0 ? scores.findLastIndex((score) => score > -Infinity) : place;
}

/** Return where numbers together are more than wanted; -1 if they nowhere are. */
function firstAbove(numbers, wanted) {
  let sum = 0;
  for (let at = 0; at < numbers.length; at++) {
    sum += numbers[at];
    if (sum > wanted) return at;
  }
  return -1;
}

function logProbabilities(scores) {
  const logs = new Float64Array(scores);
  const highest = scores[greatest(scores)];
  let total = 0;
  for (let at = 0; at < logs.length; at++) total += Math.exp((logs[at] -= highest));
  total = Math.log(total);
  for (let at = 0; at < logs.length; at++) logs[at] -= total;
  return logs;
}

function probabilities(scores) {
  const shares = logProbabilities(scores);
  for (let at = 0; at < shares.length; at++) shares[at] = Math.exp(shares[at]);
  return shares;
}

/** Return a copy in which some tokens never come. */
function never(scores, tokens) {
  const changed = scores.slice();
  for (const token of tokens) changed[token] = -Infinity;
  return changed;
}

const behind = (count) => (tokens, prompt) => tokens.length - prompt === count;

const penalized = (given) => (scores, tokens) => {
  const [changed, penalty] = [scores.slice(), Math.fround(given)];
  for (const token of new Set(tokens)) {
    const score = scores[token];
    changed[token] = score < 0 ? score * penalty : score / penalty;
  }
  return changed;
};

const noNgramTwice = (size) => (scores, tokens) => {
  const last = tokens.slice(tokens.length - size + 1);
  const follows = (_, at) => at >= size - 1 && last.every((t, i) => tokens[at - size + 1 + i] === t);
  return tokens.length < size ? scores : never(scores, tokens.filter(follows));
};

const withoutWords = (words) => (scores, tokens) => {
  const begun = (word) => {
    const from = tokens.length - word.length + 1;
    return from >= 0 && word.slice(0, -1).every((token, at) => tokens[from + at] === token);
  };
  return never(scores, words.filter(begun).map((word) => word.at(-1)));
};

const notEnded = (least, ends) => (scores, tokens, prompt) =>
  tokens.length - prompt >= least ? scores : never(scores, ends);

const forced = (isPlace, token) => (scores, tokens, prompt) => {
  if (!isPlace(tokens, prompt)) return scores;
  const changed = new Float32Array(scores.length).fill(-Infinity);
  changed[token] = 0;
  return changed;
};

const without = (unwanted, isPlace = () => true) => (scores, tokens, prompt) =>
  isPlace(tokens, prompt) ? never(scores, unwanted) : scores;

const tempered = (temperature) => (scores) => scores.map((score) => score / Math.fround(temperature));

const topK = (count) => (scores) => {
  const least = scores.slice().sort().at(-Math.min(count, scores.length));
  return scores.map((score) => (score < least ? -Infinity : score));
};

const topP = (mass) => (scores) => {
  const ascending = scores.slice().sort();
  const found = firstAbove(probabilities(ascending), 1 - mass);
  const place = found < 0 ? scores.length - 1 : found;
  const least = ascending[place];
  let equal = place - ascending.indexOf(least); // of equal ones, so many of the first are left out
  const isLeftOut = (score) => score < least || (score === least && equal-- > 0);
  return scores.map((score) => (isLeftOut(score) ? -Infinity : score));
};

const minP = (fraction) => (scores) => {
  const shares = probabilities(scores);
  const best = greatest(scores);
  const least = fraction * shares[best];
  return scores.map((score, at) => (shares[at] < least && at !== best ? -Infinity : score));
};

const typical = (mass) => (scores) => {
  const logs = logProbabilities(scores);
  const shares = logs.map(Math.exp);
  const entropy = -shares.reduce((sum, share, at) => sum + (share > 0 ? share * logs[at] : 0), 0);
  const distance = logs.map((log) => Math.abs(-log - entropy));
  const nearest = [...distance.keys()].sort((a, b) => distance[a] - distance[b] || a - b);
  let sum = 0;
  const last = nearest.find((token) => (sum += shares[token]) >= mass) ?? nearest.at(-1);
  const isFar = (token) => distance[token] > distance[last] && token !== nearest[0];
  return scores.map((score, token) => (isFar(token) ? -Infinity : score));
};
