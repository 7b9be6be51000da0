// From a picture to the pixels that the model's image step gives: the same as Pillow's.

import { resize } from "./resample.js";

/** Return the picture of a file: turned as its camera says, with its own numbers as colours. */
export async function decode(file) {
  const options = { premultiplyAlpha: "none", colorSpaceConversion: "none" };
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, options);
  } catch {
    throw new Error(`“${file.name}” is not a picture that this browser can read.`);
  }
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height);
}

/**
 * Return grey or RGB pixels of a fixed size.
 * @param {{data: Uint8ClampedArray, width: number, height: number}} picture RGBA
 * @param {{size: [number, number], channels: number, resample: string, shorter_side: ?number,
 *   resized: ?[number, number], rounding: ?string}} step
 */
export function imagePixels(picture, step) {
  const { size: [height, width], channels, resample, shorter_side: shorter, resized } = step;
  const convert = channels === 1 ? grey : (r, g, b) => [r, g, b];
  const { data } = picture;
  const flat = new Uint8Array(picture.width * picture.height * channels);
  for (let i = 0, at = 0; i < data.length; i += 4, at += channels) {
    const alpha = data[i + 3];
    flat.set(convert(...[0, 1, 2].map((c) => overWhite(data[i + c], alpha))), at);
  }
  const image = { data: flat, width: picture.width, height: picture.height, channels };
  if (!shorter && !resized) return resize(image, width, height, resample);
  const scaled = (side) => Math.floor((shorter * side) / Math.min(picture.width, picture.height));
  const [rows, columns] = resized ?? [scaled(picture.height), scaled(picture.width)];
  const whole = resize(image, columns, rows, resample);
  return middle(whole, width, height, step.rounding);
}

// Of an odd number of pixels to cut off, half a pixel goes down or to the even neighbour.
function firstOf(cut, rounding) {
  const half = Math.floor(cut / 2);
  return rounding === "even" ? half + (cut % 2) * (half % 2) : half;
}

function middle({ data, width: whole, height: rows, channels }, width, height, rounding) {
  const left = firstOf(whole - width, rounding);
  const top = firstOf(rows - height, rounding);
  const cut = new Uint8Array(width * height * channels);
  for (let y = 0; y < height; y++) {
    const from = ((top + y) * whole + left) * channels;
    cut.set(data.subarray(from, from + width * channels), y * width * channels);
  }
  return { data: cut, width, height, channels };
}

// Pillow's alpha_composite over white, and its weights of red, green and blue.
function overWhite(value, alpha) {
  if (alpha === 255) return value;
  const sum = value * alpha * 128 + 255 * (255 - alpha) * 128 + 0x4000;
  return (((sum >> 8) + sum) >> 8) >> 7;
}

const grey = (r, g, b) => [(r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16];
