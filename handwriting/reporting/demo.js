// The demo: strokes on a canvas of trainPart1's size, classified by the network after each.
const pad = document.getElementById("pad"), state = document.getElementById("state");
const list = document.getElementById("predictions"), pen = pad.getContext("2d", { willReadFrequently: true });
const WIDTH = 84;  // of trainPart1's pen
const { size, inkSize, trained } = document.body.dataset;  // of the network's input, of the ink in it
const [LEAST, MOST] = JSON.parse(trained);  // the range of trainPart1's geometry: unknown beyond
const SIZE = Number(size), INK_SIZE = Number(inkSize), classes = JSON.parse(document.body.dataset.classes);
let network = null, last = null;

function clear() {
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, pad.width, pad.height);
  list.replaceChildren();
}

function at(event) {
  const frame = pad.getBoundingClientRect();
  return [(event.clientX - frame.left) * pad.width / frame.width, (event.clientY - frame.top) * pad.height / frame.height];
}

function stroke(from, to) {
  pen.lineWidth = WIDTH;
  pen.lineCap = pen.lineJoin = "round";
  pen.strokeStyle = "#000";
  pen.beginPath();
  pen.moveTo(...from);
  pen.lineTo(...to);
  pen.stroke();
}

// RGBA pixels -> {image, geometry, probabilities} as Python has them; null for a blank canvas.
async function classify({ data, width, height }) {
  const gray = new Uint8Array(width * height);
  for (let i = 0; i < gray.length; i++) gray[i] = data[4 * i] < 128 ? 0 : 255;
  const framed = prepare(gray, height, width, SIZE, INK_SIZE);
  if (!framed) return null;
  const image = new ort.Tensor("float32", Float32Array.from(framed.image), [1, 1, SIZE, SIZE]);
  if (!framed.geometry.every((share, i) => LEAST[i] <= share && share <= MOST[i])) framed.geometry.fill(NaN);
  const geometry = new ort.Tensor("float32", Float32Array.from(framed.geometry), [1, 4]);
  const { probabilities } = await network.run({ image, geometry });
  return { ...framed, probabilities: probabilities.data };
}

async function predict() {
  if (!network) return;
  const found = await classify(pen.getImageData(0, 0, pad.width, pad.height));
  const best = found ? [...found.probabilities.keys()].sort((a, b) => found.probabilities[b] - found.probabilities[a]).slice(0, 5) : [];
  list.replaceChildren(...best.map((index) => {
    const item = document.createElement("li");
    item.textContent = `${classes[index]}  ${(100 * found.probabilities[index]).toFixed(1)}%`;
    return item;
  }));
}

pad.addEventListener("pointerdown", (event) => {
  pad.setPointerCapture(event.pointerId);
  last = at(event);
  stroke(last, last);
});
pad.addEventListener("pointermove", (event) => {
  if (!last) return;
  const here = at(event);
  stroke(last, here);
  last = here;
});
for (const end of ["pointerup", "pointercancel"]) pad.addEventListener(end, () => { last = null; predict(); });
document.getElementById("clear").addEventListener("click", clear);
clear();

(async () => {
  try {
    ort.env.wasm.wasmPaths = new URL("runtime/", location.href).href;
    ort.env.wasm.numThreads = 1;
    network = await ort.InferenceSession.create("characters.onnx");
    state.textContent = "The network is ready.";
    predict();
  } catch (error) {
    state.textContent = "The network could not be loaded: open this page with `make report`.";
  }
})();
