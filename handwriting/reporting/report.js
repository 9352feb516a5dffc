// Draws a figure with plotly where a person asks for it, in the colours of the theme, and shows the
// images of the map. The page stands without this.
(() => {
  const probe = document.createElement("i");
  document.body.append(probe);
  const value = (name) => { probe.style.color = `var(--${name})`; return getComputedStyle(probe).color; };
  const faint = (colour) => colour.replace("rgb(", "rgba(").replace(")", ", 0.13)");

  function painted(trace) {
    const own = value(trace.meta?.colour ?? "clean");
    if (trace.type === "heatmap") {
      const mix = (share) => `color-mix(in srgb, ${value("ink")} ${share}%, ${value("surface")})`;
      const grey = (share) => { probe.style.color = mix(share); return getComputedStyle(probe).color; };
      const rgb = (share) => { const [r, g, b] = grey(share).match(/[\d.]+/g).map((part) => Math.round(255 * part)); return `rgb(${r}, ${g}, ${b})`; };
      return { ...trace, colorscale: [[0, 0], [0.02, 25], [0.2, 50], [1, 100]].map(([at, share]) => [at, rgb(share)]) };
    }
    return {
      ...trace, marker: { ...trace.marker, color: own }, line: { ...trace.line, color: own },
      fillcolor: faint(own), textfont: { ...trace.textfont, color: own },
    };
  }

  function laidOut(layout) {
    const axis = { gridcolor: value("line"), linecolor: value("line"), zerolinecolor: value("line") };
    return {
      ...layout, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: value("ink"), family: "system-ui, sans-serif", size: 13 },
      hoverlabel: { bgcolor: value("surface"), font: { color: value("ink") }, bordercolor: value("line") },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: value("muted"), activecolor: value("ink") },
      xaxis: { ...layout.xaxis, ...axis }, yaxis: { ...layout.yaxis, ...axis },
    };
  }

  function draw(figure) {
    if (!window.Plotly) {
      const script = document.createElement("script");
      script.textContent = document.getElementById("plotly").textContent;
      document.head.append(script);
    }
    const { data, layout } = JSON.parse(figure.querySelector("script").textContent);
    const options = {
      responsive: true, displaylogo: false, displayModeBar: "hover", showSendToCloud: false, // nothing leaves the page
      modeBarButtonsToRemove: ["select2d", "lasso2d"],
    };
    return Plotly.react(figure.querySelector(".plotly"), data.map(painted), laidOut(layout), options);
  }

  for (const button of document.querySelectorAll(".explore")) {
    const figure = button.closest("figure");
    button.hidden = false;
    button.addEventListener("click", () => {
      const wanted = button.getAttribute("aria-pressed") === "false";
      button.setAttribute("aria-pressed", wanted);
      figure.querySelector(".still").hidden = wanted;
      figure.querySelector(".plotly").parentElement.hidden = !wanted;
      if (wanted) draw(figure).then((drawn) => drawn.on("plotly_hover", (event) => looks.get(figure)?.(event.points[0].customdata)));
    });
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
    document.querySelectorAll(".explore[aria-pressed=true]").forEach((button) => draw(button.closest("figure"))));

  const looks = new Map();
  for (const look of document.querySelectorAll(".look")) {
    const figure = look.parentElement, rows = figure.querySelectorAll("tbody tr");
    const tile = look.querySelector(".tile"), slider = look.querySelector("input"), shown = look.querySelector("output");
    const columns = Number(getComputedStyle(look).getPropertyValue("--columns"));
    const show = (index) => {
      const [, , actual, predicted] = [...rows[index].children].map((cell) => cell.textContent);
      tile.style.setProperty("--column", index % columns);
      tile.style.setProperty("--row", Math.floor(index / columns));
      shown.textContent = `${actual}, classified as ${predicted}`;
      tile.setAttribute("aria-label", shown.textContent);
      slider.value = index;
    };
    looks.set(figure, show);
    slider.addEventListener("input", () => show(Number(slider.value)));
    figure.addEventListener("pointerover", ({ target }) => target.dataset.row && show(Number(target.dataset.row)));
    look.hidden = false;
    show(0);
  }

  document.querySelector("#try .button").hidden = !["127.0.0.1", "localhost"].includes(location.hostname);
  const opened = () => document.getElementById(`${location.hash.slice(1)}-fold`)?.setAttribute("open", "");
  addEventListener("hashchange", opened);
  opened();
})();
