const data = JSON.parse(document.getElementById("data").textContent);
const [box, note] = ["window", "status"].map((id) => document.getElementById(id));
const rows = document.querySelectorAll("tbody tr");
const cells = data.given.map((text) => {
  const cell = document.createElement("span");
  cell.dataset.given = text === null ? "" : "1";
  return cell;
});
box.replaceChildren(...cells);

function stateAt(step) {
  const state = data.given.map((text) => ({ text, kind: text === null ? "open" : "given", title: "" }));
  data.steps.slice(0, step).forEach((each, k) => {
    const now = k === step - 1 ? " new" : "";
    for (const [place, text, sure] of each.r) {
      const shade = data.shades.filter((least) => sure >= least).length;
      state[place] = { text, kind: `s${shade}${now}`, title: `step ${k + 1}: ${(100 * sure).toFixed(1)} %` };
    }
    for (const place of each.h) {
      state[place] = { text: null, kind: now ? "open gone" : "open", title: `hidden again at step ${k + 1}` };
    }
  });
  return state;
}

player(data.steps.length, (step) => {
  const state = stateAt(step);
  state.forEach(({ text, kind, title }, k) => {
    cells[k].textContent = text === null ? "·" : text;
    cells[k].className = kind;
    cells[k].title = title;
  });
  const hidden = state.filter((each) => each.text === null).length;
  const now = data.steps[step - 1];
  const did = now ? `, ${now.r.length} revealed${now.h.length ? `, ${now.h.length} hidden again` : ""}` : "";
  note.textContent = `Step ${step} of ${data.steps.length}${did}; ${hidden} hidden`;
  rows.forEach((row, k) => row.classList.toggle("now", k === step - 1));
});
