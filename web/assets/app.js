// What a page can do better with a script. Every page is whole without it.
"use strict";
(() => {
  const inField = (t) => t instanceof HTMLElement && (t.isContentEditable || /^(INPUT|TEXTAREA|SELECT|BUTTON)$/.test(t.tagName));

  // Keys: what a link says in data-key follows it; / goes to the search.
  document.addEventListener("keydown", (e) => {
    if (e.altKey || e.metaKey) return;
    if (e.ctrlKey) {
      const form = e.target instanceof HTMLTextAreaElement && e.key === "Enter" ? e.target.form : null;
      if (form && form.classList.contains("sql")) { e.preventDefault(); form.requestSubmit(); }
      return;
    }
    if (inField(e.target)) return;
    if (e.key === "/") {
      const q = document.getElementById("jump-q");
      if (q) { e.preventDefault(); q.focus(); }
      return;
    }
    if (e.target instanceof HTMLElement && e.target.closest(".scroll, pre, .choose") && e.key.startsWith("Arrow")) return;
    const key = e.key === "=" ? "+" : e.key;
    for (const a of document.querySelectorAll("a[data-key]")) {
      if (a.dataset.key === key) { e.preventDefault(); location.assign(a.href); return; }
    }
  });

  // Choosing a part of the time line with the mouse or a finger.
  for (const box of document.querySelectorAll(".zoomable")) {
    const pad = (n, k = 2) => String(n).padStart(k, "0");
    const text = (ms) => { const d = new Date(ms); return `${d.getUTCFullYear()}-${pad(d.getUTCMonth() + 1)}-${pad(d.getUTCDate())} ${pad(d.getUTCHours())}:${pad(d.getUTCMinutes())}:${pad(d.getUTCSeconds())}`; };
    const start = Number(box.dataset.start), end = Number(box.dataset.end);
    let from = null, mark = null;
    const plot = () => {
      for (const s of box.querySelectorAll("svg")) {
        const r = s.getBoundingClientRect(), v = s.viewBox.baseVal;
        const line = s.querySelector(".laneline"); // as long as the time is
        if (r.width > 0 && v && v.width > 0 && line) {
          const k = r.width / v.width;
          return { left: r.left + line.x1.baseVal.value * k, right: r.left + line.x2.baseVal.value * k };
        }
      }
      return null;
    };
    const clamp = (x, p) => Math.min(Math.max(x, p.left), p.right);
    box.addEventListener("pointerdown", (e) => {
      const p = plot();
      if (e.button !== 0 || !p || e.clientX < p.left || e.clientX > p.right || e.target.closest("a")) return;
      from = e.clientX;
      e.preventDefault();
    });
    window.addEventListener("pointermove", (e) => {
      const p = plot();
      if (from === null || !p) return;
      if (!mark) { mark = document.createElement("div"); mark.className = "picking"; box.append(mark); }
      const a = clamp(Math.min(from, e.clientX), p), b = clamp(Math.max(from, e.clientX), p), base = box.getBoundingClientRect().left;
      mark.style.left = `${a - base}px`;
      mark.style.width = `${b - a}px`;
    });
    window.addEventListener("pointerup", (e) => {
      const p = plot(), was = from;
      from = null;
      if (mark) { mark.remove(); mark = null; }
      if (was === null || !p || Math.abs(e.clientX - was) < 6) return;
      const at = (x) => start + (clamp(x, p) - p.left) / (p.right - p.left) * (end - start);
      const q = new URLSearchParams(box.dataset.query);
      q.set("from", text(at(Math.min(was, e.clientX))));
      q.set("to", text(at(Math.max(was, e.clientX))));
      location.assign(`${box.dataset.path}?${q}`);
    });
    window.addEventListener("keydown", (e) => { if (e.key === "Escape" && mark) { mark.remove(); mark = null; from = null; } });
  }

  // What others did since this page was made.
  const live = document.querySelector(".banner.live"), body = document.body;
  if (live && body.dataset.changes) {
    const head = Number(body.dataset.head);
    let made = null, wait = 5000;
    let told = "";
    const say = (lines) => {
      if (told === lines.join("\n")) return; // what is said again is read out again
      told = lines.join("\n");
      live.replaceChildren();
      for (const t of lines) { const p = document.createElement("span"); p.textContent = t + " "; live.append(p); }
      const a = document.createElement("a");
      a.href = location.href; a.textContent = "Load the page again";
      live.append(a);
      live.hidden = false;
    };
    const ask = async () => {
      try {
        const r = await fetch(`${body.dataset.changes}?since=${head}`, { headers: { Accept: "application/json" } });
        if (r.ok) {
          const c = await r.json();
          wait = 5000;
          if (c.head > head) say(c.entries);
          else if (made !== null && c.made !== made) say(["The case was made anew."]);
          made = made ?? c.made;
        } else if (r.status === 401 || r.redirected) { say(["You are logged out."]); return; }
        else wait = Math.min(wait * 2, 60000);
      } catch { wait = Math.min(wait * 2, 60000); }
      setTimeout(ask, document.hidden ? 30000 : wait);
    };
    setTimeout(ask, wait);
  }
})();
