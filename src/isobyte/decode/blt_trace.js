const data = JSON.parse(document.getElementById("data").textContent);
const [box, note, lost] = ["window", "status", "lost"].map((id) => document.getElementById(id));
const rows = document.querySelectorAll("tbody tr");
const spans = [...box.children];
const labels = spans.map((span) => span.textContent);

function classes([, filled, settled, kind, shade], frame) {
  if (kind === "bar" || kind === "given") return kind;
  if (frame < filled) return "open cell";
  const now = frame === settled ? (kind === "refused" ? " gone" : kind === "late" ? "" : " new") : "";
  if (frame >= settled) return kind === "refused" || kind === "late" ? kind + now : `${shade} ${kind}${now}`;
  return `${shade} cell${frame === filled ? " new" : ""}`;
}

player(data.frames.length, (frame) => {
  let settled = 0;
  data.items.forEach((item, k) => {
    const [opened, filled, done, kind] = item;
    spans[k].hidden = frame < opened;
    spans[k].className = classes(item, frame);
    spans[k].textContent = frame < filled ? "·" : labels[k];
    settled += frame >= done && !["bar", "refused", "late"].includes(kind);
  });
  const [turn, told] = data.frames[frame - 1] ?? [-1, "the prompt"];
  note.textContent = `${frame} of ${data.frames.length}: ${told}; ${settled} bytes settled`;
  rows.forEach((row, k) => row.classList.toggle("now", k === turn));
});
lost.addEventListener("change", () => box.classList.toggle("clean", !lost.checked));
