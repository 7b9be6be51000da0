// The numbers of NumPy's default_rng: https://numpy.org/doc/stable/reference/random/bit_generators.

const WORD = (1n << 32n) - 1n;
const LONG = (1n << 64n) - 1n;
const WIDE = (1n << 128n) - 1n;
const STEP = 0x2360ed051fc65da44385df649fccf645n;
const POOL = 4;

/**
 * Return a function that gives what `numpy.random.default_rng(entropy).random()` gives, in order.
 * @param {bigint[]} entropy Whole numbers from 0 on.
 */
export function defaultRng(entropy) {
  const [high, low, incrementHigh, incrementLow] = seeds(entropy);
  const increment = (((incrementHigh << 64n) | incrementLow) << 1n | 1n) & WIDE;
  const next = (state) => (state * STEP + increment) & WIDE;
  let state = next(increment + ((high << 64n) | low));
  return () => {
    state = next(state);
    return Number(turned(state) >> 11n) / 2 ** 53;
  };
}

/** PCG64's output: the halves of the state in one another, turned by its highest bits. */
function turned(state) {
  const mixed = (state >> 64n) ^ (state & LONG);
  const by = state >> 122n;
  return ((mixed >> by) | (mixed << (64n - by))) & LONG;
}

/** Return four numbers of 64 bits that SeedSequence makes of some entropy. */
function seeds(entropy) {
  const pool = mixed(entropy.flatMap(words));
  const hash = hasher(0x8b51f9dd, 0x58f38ded);
  const halves = Array.from({ length: 8 }, (_, at) => BigInt(hash(pool[at % POOL])));
  return [0, 2, 4, 6].map((at) => (halves[at + 1] << 32n) | halves[at]);
}

function words(number) {
  const found = [Number(number & WORD)];
  for (let rest = number >> 32n; rest > 0n; rest >>= 32n) found.push(Number(rest & WORD));
  return found;
}

function mixed(entropy) {
  const hash = hasher(0x43b0d7e5, 0x931e8875);
  const pool = Array.from({ length: POOL }, (_, at) => hash(entropy[at] ?? 0));
  const spread = (word, skipped) => {
    for (let to = 0; to < POOL; to++) {
      if (to !== skipped) pool[to] = joined(pool[to], hash(word()));
    }
  };
  for (let from = 0; from < POOL; from++) spread(() => pool[from], from);
  for (const word of entropy.slice(POOL)) spread(() => word);
  return pool;
}

function hasher(first, factor) {
  let constant = first;
  return (value) => {
    const before = value ^ constant;
    constant = Math.imul(constant, factor);
    return shifted(Math.imul(before, constant));
  };
}

const joined = (x, y) => shifted((Math.imul(0xca01f9dd, x) - Math.imul(0x4973f715, y)) | 0);
const shifted = (value) => (value ^ (value >>> 16)) >>> 0;
