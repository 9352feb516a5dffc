// The theme is as the system has it until the visitor says otherwise; where there is no storage, for
// this visit alone.
(() => {
  const root = document.documentElement;
  const apply = (theme) => theme === "auto" ? root.removeAttribute("data-theme") : (root.dataset.theme = theme);
  let chosen = "auto";
  try { chosen = localStorage.getItem("theme") || "auto"; } catch { /* no storage */ }
  apply(chosen);
  document.addEventListener("DOMContentLoaded", () => {
    const select = document.getElementById("theme");
    select.value = chosen;
    select.addEventListener("change", () => {
      apply(select.value);
      try { localStorage.setItem("theme", select.value); } catch { /* no storage */ }
      document.dispatchEvent(new Event("theme"));
    });
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new Event("theme")));
})();
