// Draws each chart when it comes near the view, in the colours of the theme; and shows the images of
// the map. Plotly is run with the first of them, so that the page answers before.
(() => {
  const value = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const colour = (trace) => value(`--${trace.meta?.colour ?? "clean"}`);

  function painted(trace) {
    const own = colour(trace);
    if (trace.type === "heatmap") {
      const stops = [[0, "--ground"], [0.02, "--heat1"], [0.2, "--heat2"], [0.6, "--heat3"], [1, "--heat4"]];
      return { ...trace, colorscale: stops.map(([at, name]) => [at, value(name)]), xgap: 0.5, ygap: 0.5 };
    }
    const result = { ...trace, marker: { ...trace.marker, color: own } };
    if (trace.line || trace.mode?.includes("lines")) result.line = { ...trace.line, color: own };
    if (trace.fill) result.fillcolor = `${own}33`;
    if (trace.error_x) result.error_x = { ...trace.error_x, color: own };
    if (trace.mode === "text") result.textfont = { ...trace.textfont, color: own };
    return result;
  }

  function laidOut(layout) {
    const axis = { gridcolor: value("--grid"), linecolor: value("--line"), zerolinecolor: value("--line") };
    return {
      ...layout, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: value("--ink"), family: "system-ui, sans-serif", size: 13 },
      hoverlabel: { bgcolor: value("--raised"), font: { color: value("--ink") }, bordercolor: value("--line") },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: value("--soft"), activecolor: value("--ink") },
      xaxis: { ...layout.xaxis, ...axis }, yaxis: { ...layout.yaxis, ...axis },
    };
  }

  const figureOf = (element) => JSON.parse(element.parentElement.querySelector("script[type='application/json']").textContent);

  function runPlotly() {
    const script = document.createElement("script");
    script.textContent = document.getElementById("plotly").textContent;
    document.head.append(script);
  }

  function draw(element) {
    if (!window.Plotly) runPlotly();
    const figure = figureOf(element);
    const options = {
      responsive: true, displaylogo: false, showSendToCloud: false, // nothing leaves the page
      modeBarButtonsToRemove: ["select2d", "lasso2d"],
    };
    const drawn = Plotly.react(element, figure.data.map(painted), laidOut(figure.layout), options);
    const look = element.parentElement.querySelector(".look");
    if (look && !element.dataset.drawn) drawn.then(() => looking(element, look));
    element.dataset.drawn = "yes";
  }

  function looking(element, look) {
    const tile = look.querySelector(".tile"), slider = look.querySelector("input"), shown = look.querySelector("output");
    const rows = element.parentElement.querySelectorAll("tbody tr");
    const columns = Number(getComputedStyle(look).getPropertyValue("--columns"));
    const show = (index) => {
      const [, , actual, predicted] = [...rows[index].children].map((cell) => cell.textContent);
      tile.style.setProperty("--column", index % columns);
      tile.style.setProperty("--row", Math.floor(index / columns));
      shown.textContent = `${actual}, classified as ${predicted}`;
      tile.setAttribute("aria-label", shown.textContent);
      slider.value = index;
    };
    element.on("plotly_hover", (event) => show(event.points[0].customdata));
    slider.addEventListener("input", () => show(Number(slider.value)));
    show(0);
  }

  const plots = [...document.querySelectorAll(".plot")];
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) { near.unobserve(entry.target); draw(entry.target); }
  }, { rootMargin: "400px" });
  for (const element of plots) {  // what comes later keeps its place
    element.style.minHeight = `${figureOf(element).layout.height}px`;
    near.observe(element);
  }
  document.addEventListener("theme", () => plots.filter((each) => each.dataset.drawn).forEach(draw));
  addEventListener("beforeprint", () => plots.forEach(draw));
})();
