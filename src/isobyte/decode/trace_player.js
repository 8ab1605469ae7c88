// Buttons and a slider that go through steps 0 to `count`; `draw` shows one. The end is shown first, or #step=N.
function player(count, draw) {
  const [slider, play] = ["step", "play"].map((id) => document.getElementById(id));
  const show = (step) => {
    slider.value = step;
    draw(step);
  };
  let timer = null;
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = "Play";
  };
  const move = (by) => {
    stop();
    show(Math.max(0, Math.min(count, Number(slider.value) + by)));
  };
  play.addEventListener("click", () => {
    if (timer !== null) return stop();
    if (Number(slider.value) >= count) show(0);
    play.textContent = "Pause";
    timer = setInterval(() => {
      const next = Number(slider.value) + 1;
      if (next > count) return stop();
      show(next);
    }, Math.max(40, Math.min(500, 12000 / Math.max(count, 1))));
  });
  slider.addEventListener("input", () => {
    stop();
    show(Number(slider.value));
  });
  document.getElementById("back").addEventListener("click", () => move(-1));
  document.getElementById("forth").addEventListener("click", () => move(1));
  slider.max = count;
  document.getElementById("controls").hidden = false;
  const asked = Number((location.hash.match(/^#step=(\d+)$/) || [])[1] ?? count);
  show(Math.min(asked, count));
}
