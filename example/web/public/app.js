// The front page: asks the API every two seconds and shows what it says. No build step, no dependency.

const EVERY_MS = 2000;
const TIMEOUT_MS = 5000;

const byId = (id) => document.getElementById(id);

/** The answer of one API call; throws only when there is none. `/health` answers 503 with a body worth showing. */
async function ask(path, options = {}) {
  const response = await fetch(`api/${path}`, { signal: AbortSignal.timeout(TIMEOUT_MS), cache: "no-store", ...options });
  return { ok: response.ok, status: response.status, body: await response.json().catch(() => ({})) };
}

const post = (path, body) =>
  ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body ?? {}) });

function ago(time) {
  const seconds = Math.max(0, Math.round((Date.now() - new Date(time)) / 1000));
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return new Date(time).toLocaleDateString();
}

const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

const describe = {
  "count-words": ({ note, words, characters }) =>
    `Note ${note}: ${plural(words, "word")}, ${plural(characters, "character")}`,
  report: ({ notes, jobs }) => `Report: ${plural(notes, "note")}, ${plural(jobs, "job")}`,
};

const describeJob = ({ kind, result }) => (result.error ? `${kind}: ${result.error}` : describe[kind]?.(result) ?? kind);

function showRows(list, rows, whenEmpty) {
  const template = byId("row").content.firstElementChild;
  const items = rows.map(({ text, detail, title }) => {
    const item = template.cloneNode(true);
    item.querySelector(".row-text").textContent = text;
    item.querySelector(".detail").textContent = detail;
    if (title) item.title = title;
    return item;
  });
  if (items.length === 0) {
    const item = template.cloneNode(true);
    item.className = "empty";
    item.querySelector(".row-text").textContent = whenEmpty;
    items.push(item);
  }
  list.replaceChildren(...items);
}

function showFact(id, value, state, detail) {
  const fact = byId(id);
  fact.dataset.state = state;
  fact.querySelector("[data-value]").textContent = value;
  if (detail) fact.querySelector("[data-detail]").textContent = detail;
}

function showTrouble(text) {
  const trouble = byId("trouble");
  trouble.hidden = !text;
  if (trouble.textContent !== text) trouble.textContent = text;
}

function showVerdict(status, text) {
  document.body.dataset.status = status;
  if (byId("verdict").textContent !== text) byId("verdict").textContent = text;
}

const MIGRATION_DETAIL = {
  current: () => "up to date",
  newer: ({ head }) => `newer than this release (${head})`,
  pending: ({ head }) => `this release needs ${head}`,
  unknown: () => "cannot be read",
};

function showHealth(health) {
  showVerdict(health.status, health.status);
  showTrouble(health.reasons.join(" · "));
  const { database, migrations, cache } = health;
  showFact("database", database.status, database.error ? "bad" : "good");
  showFact("cache", cache.status, cache.error ? "warn" : "good");
  showFact(
    "migrations",
    migrations.current ?? (migrations.state === "unknown" ? "unknown" : "none"),
    migrations.up_to_date ? "good" : "bad",
    MIGRATION_DETAIL[migrations.state](migrations),
  );
}

function showInfo({ version, commit, host, features }) {
  byId("version").textContent = version;
  byId("host").textContent = `api on ${host}`;
  byId("commit").textContent = commit.slice(0, 10);
  byId("commit").title = commit;
  byId("commit-detail").textContent = commit === "unknown" ? "APP_COMMIT is not set" : "as deployed";
  byId("announcement").textContent = features.announcement || byId("announcement").textContent;
  byId("notes-section").hidden = !features.notes;
  document.documentElement.style.setProperty("--accent", features.accent);
}

async function refresh() {
  try {
    const [health, info, notes, jobs] = await Promise.all(["health", "info", "notes", "jobs"].map((path) => ask(path)));
    if (!health.body.status) throw new Error("not the answer of the API itself");
    showHealth(health.body);
    if (info.ok) showInfo(info.body);
    if (notes.ok) {
      const rows = notes.body.map(({ text, created_at }) => ({ text, detail: ago(created_at) }));
      showRows(byId("notes"), rows, "No notes yet. Leave the first one.");
    }
    if (jobs.ok) {
      const rows = jobs.body.map((job) => ({
        text: describeJob(job),
        detail: ago(job.finished_at),
        title: `job ${job.id}, done by ${job.worker}`,
      }));
      showRows(byId("jobs"), rows, "No jobs yet.");
    }
    byId("asked").textContent = `Asked at ${new Date().toLocaleTimeString()}`;
  } catch {
    showVerdict("away", "no answer");
    showTrouble("The API does not answer right now. Trying again.");
  }
}

async function keepRefreshing() {
  if (!document.hidden) await refresh();
  setTimeout(keepRefreshing, EVERY_MS);
}

/** Run a person's request with its button disabled, and show why it failed. */
async function submit(button, request) {
  const error = byId("form-error");
  button.disabled = true;
  try {
    const { ok, body } = await request();
    error.textContent = ok ? "" : `Not done: ${typeof body.detail === "string" ? body.detail : "check the text"}`;
    return ok;
  } catch {
    error.textContent = "Not done: the API does not answer right now.";
    return false;
  } finally {
    error.hidden = !error.textContent;
    button.disabled = false;
    refresh();
  }
}

byId("add-note").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.currentTarget;
  if (await submit(form.querySelector("button"), () => post("notes", { text: form.text.value }))) form.reset();
});

byId("ask-report").addEventListener("click", (event) => submit(event.currentTarget, () => post("jobs")));

document.addEventListener("visibilitychange", () => document.hidden || refresh());

keepRefreshing();
