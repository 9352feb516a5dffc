// handwriting/preprocessing/framing.py for a sheet of pure black and white: the same integer
// arithmetic, so that the network gets the same input in the page as in Python.
const INK = 64, SLIP = 6, FAR = 4;

// gray: Uint8Array of height * width, dark ink on bright paper or the other way round.
// -> {image: Uint8Array of size * size, geometry: [height, width, centre y, centre x]}, null if blank
function prepare(gray, height, width, size, inkSize) {
  const ink = upright(gray, height, width);
  if (!ink.some((pixel) => pixel >= INK)) return null;
  const [top, bottom, left, right] = inkBox(ink, height, width);
  const crop = new Uint8Array((bottom - top) * (right - left));
  for (let y = top; y < bottom; y++) crop.set(ink.subarray(y * width + left, y * width + right), (y - top) * (right - left));
  const geometry = [(bottom - top) / height, (right - left) / width, (bottom + top) / 2 / height, (right + left) / 2 / width];
  return { image: centred(...scaled(crop, bottom - top, right - left, inkSize), size), geometry };
}

function upright(gray, height, width) {  // bright ink: what most of the border is not
  const border = [];
  for (let x = 0; x < width; x++) border.push(gray[x], gray[(height - 1) * width + x]);
  for (let y = 0; y < height; y++) border.push(gray[y * width], gray[y * width + width - 1]);
  const paper = border.sort((a, b) => a - b)[border.length >> 1];
  return paper >= 128 ? gray.map((pixel) => 255 - pixel) : gray;
}

function inkBox(ink, height, width) {
  const columns = new Uint8Array(width);
  for (let y = 0, i = 0; y < height; y++) for (let x = 0; x < width; x++, i++) if (ink[i] >= INK) columns[x] = 1;
  const boxes = [];
  for (let x = 0; x < width; x++) {
    if (!columns[x]) continue;
    const left = x;
    while (x < width && columns[x]) x++;
    boxes.push(rowsOf(ink, height, width, left, x));
  }
  const kept = boxes.length > 1 ? withoutSlips(boxes) : boxes;
  return [
    Math.min(...kept.map((each) => each.top)), Math.max(...kept.map((each) => each.bottom)),
    kept[0].left, kept[kept.length - 1].right,
  ];
}

function rowsOf(ink, height, width, left, right) {
  let top = height, bottom = 0, count = 0;
  for (let y = 0; y < height; y++) {
    for (let x = left; x < right; x++) {
      if (ink[y * width + x] < INK) continue;
      top = Math.min(top, y); bottom = y + 1; count++;
    }
  }
  return { top, bottom, left, right, count };
}

function withoutSlips(boxes) {
  let main = 0;
  boxes.forEach((each, i) => { if (each.count > boxes[main].count) main = i; });
  const it = boxes[main], reach = Math.max(it.bottom - it.top, it.right - it.left);
  const belongs = (each) => {
    const gap = Math.max(Math.max(each.top - it.bottom, it.top - each.bottom), Math.max(each.left - it.right, it.left - each.right));
    return each.count * SLIP >= it.count || gap * FAR <= reach;
  };
  const kept = boxes.map((each, i) => i === main || belongs(each));
  return boxes.slice(kept.indexOf(true), kept.lastIndexOf(true) + 1);
}

function halfToEven(value) {  // as Python rounds
  const low = Math.floor(value), rest = value - low;
  return rest > 0.5 || (rest === 0.5 && low % 2) ? low + 1 : low;
}

function scaled(crop, height, width, inkSize) {
  const longer = Math.max(height, width);
  const wide = Math.max(1, halfToEven(width * inkSize / longer)), high = Math.max(1, halfToEven(height * inkSize / longer));
  const across = (pixels, lines) => resampled(pixels, lines, width, wide, 1, width);
  const down = (pixels, lines) => resampled(pixels, lines, height, high, lines, 1, true);
  // Pillow scales what is more than twice as tall as wide down first, and all else across first.
  const pixels = height > 2 * width ? across(down(crop, width), high) : down(across(crop, height), wide);
  const brightest = Math.max(1, pixels.reduce((a, b) => Math.max(a, b), 0));
  return [brightest === 255 ? pixels : pixels.map((pixel) => Math.floor(pixel * 255 / brightest)), high, wide];
}

// Pillow's bilinear resampling of bytes along one side: triangles over as many pixels as one of the
// result covers, weights of 22 bits, rounded after each of the two passes.
function resampled(pixels, lineCount, from, to, step, stride, vertical = false) {
  if (from === to) return pixels;
  const result = new Uint8Array(lineCount * to);
  weights(from, to).forEach(([first, of], i) => {
    for (let line = 0; line < lineCount; line++) {
      let sum = 1 << 21;
      for (let k = 0; k < of.length; k++) sum += pixels[line * stride + (first + k) * step] * of[k];
      result[vertical ? i * lineCount + line : line * to + i] = Math.min(255, Math.max(0, sum >> 22));
    }
  });
  return result;
}

function weights(from, to) {
  const scale = from / to, support = Math.max(scale, 1), all = [];
  for (let i = 0; i < to; i++) {
    const centre = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5)), last = Math.min(from, Math.trunc(centre + support + 0.5));
    const of = [];
    for (let x = first; x < last; x++) of.push(Math.max(0, 1 - Math.abs((x - centre + 0.5) * (1 / support))));
    const total = of.reduce((a, b) => a + b, 0);
    all.push([first, of.map((weight) => Math.trunc(0.5 + weight / total * (1 << 22)))]);
  }
  return all;
}

function centred(pixels, height, width, size) {
  let total = 0, y = 0, x = 0;
  pixels.forEach((pixel, i) => {
    total += pixel;
    y += pixel * (2 * Math.floor(i / width) + 1);
    x += pixel * (2 * (i % width) + 1);
  });
  const start = (twice, side) => Math.min(Math.max(Math.floor((size * total - twice) / (2 * total)), 0), size - side);
  const top = start(y, height), left = start(x, width), square = new Uint8Array(size * size);
  for (let row = 0; row < height; row++) square.set(pixels.subarray(row * width, (row + 1) * width), (top + row) * size + left);
  return square;
}
