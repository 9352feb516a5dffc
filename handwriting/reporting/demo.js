// The demo: a drawing or a picture goes to the server of the report, which answers as `predict`.
const [pad, state, result, best, seen, network, file] =
  ["pad", "state", "result", "best", "seen", "network", "file"].map((name) => document.getElementById(name));
const pen = pad.getContext("2d"), WIDTH = 84;  // of trainPart1's pen
let picture = null, last = null, asked = 0;

function clear() {
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, pad.width, pad.height);
  picture = null;
  say("Draw, drop, paste or open a picture.");
}

function say(text) {
  asked++;  // an answer that is on its way is out of date
  state.textContent = text;
  result.hidden = true;
}

function work() {
  state.textContent = "Working…";
  return ++asked;
}

function show({ problem, best: answers, confusable, seen: uri }) {
  if (problem) return say(`No answer: ${problem.replace(/[.?]?$/, (end) => end || ".")}`);
  state.textContent = `It is most likely ${answers[0][0]}` + (confusable.length ? `, which is often confused with ${confusable.join(", ")}.` : ".");
  seen.src = uri;
  best.replaceChildren(...answers.map(([name, share]) => {
    const [item, bar, number] = ["li", "i", "span"].map((kind) => document.createElement(kind));
    number.textContent = `${(100 * share).toFixed(1)}%`;
    bar.style.setProperty("--share", number.textContent);
    item.append(name, bar, number);
    return item;
  }));
  result.hidden = false;
}

async function predict() {
  if (!picture) return;
  if (picture.size > Number(document.body.dataset.most)) return say("No answer: the picture is too large.");
  const number = work();
  let found;
  try {
    const response = await fetch(`/predict?network=${network.value}`, { method: "POST", body: picture });
    found = response.ok ? await response.json() : { problem: response.statusText };
  } catch (error) {
    found = { problem: `${error.message}. Is make report still running?` };
  }
  if (number === asked) show(found);
}

async function open(blob) {
  if (!blob) return;
  clear();
  picture = blob;
  predict();
  const reader = new FileReader();  // shown on the canvas as far as the browser can read it
  reader.onload = async () => {
    const image = Object.assign(new Image(), { src: reader.result });
    try { await image.decode(); } catch { return; }
    if (picture !== blob) return;
    const scale = Math.min(pad.width / image.width, pad.height / image.height);
    const width = image.width * scale, height = image.height * scale;
    pen.drawImage(image, (pad.width - width) / 2, (pad.height - height) / 2, width, height);
  };
  reader.readAsDataURL(blob);
}

function at({ clientX, clientY }) {
  const frame = pad.getBoundingClientRect();
  return [(clientX - frame.left) * pad.width / frame.width, (clientY - frame.top) * pad.height / frame.height];
}

function stroke(from, to) {
  Object.assign(pen, { lineWidth: WIDTH, lineCap: "round", lineJoin: "round", strokeStyle: "#000" });
  pen.beginPath();
  pen.moveTo(...from);
  pen.lineTo(...to);
  pen.stroke();
}

pad.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  if (picture && !picture.drawn) clear();
  pad.setPointerCapture(event.pointerId);
  stroke(last = at(event), last);
});
pad.addEventListener("pointermove", (event) => { if (last) stroke(last, last = at(event)); });
for (const end of ["pointerup", "pointercancel"]) pad.addEventListener(end, () => {
  if (!last) return;
  last = null;
  const number = work();
  pad.toBlob((blob) => {
    if (number !== asked) return;
    picture = Object.assign(blob, { drawn: true });
    predict();
  });
});

document.getElementById("clear").addEventListener("click", clear);
file.addEventListener("change", () => { open(file.files[0]); file.value = ""; });
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => { event.preventDefault(); open(event.dataTransfer.files[0]); });
addEventListener("paste", (event) => open([...event.clipboardData.files].find(({ type }) => type.startsWith("image/"))));
network.addEventListener("change", () => {
  for (const each of document.querySelectorAll("[data-network]")) each.hidden = each.dataset.network !== network.value;
  predict();
});
clear();
