// One run of a peer, told by argv: system, verb, number of things, options as JSON; the database by PEER_DATABASE. Prints one line of JSON.
import { createRequire } from "node:module";
import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
const [, , folder, system, verb, countText, optionsText] = process.argv;
const require = createRequire(folder + "/");
const connectionString = process.env.PEER_DATABASE;
const count = Number(countText);
const options = JSON.parse(optionsText || "{}");
const emit = (o) => process.stdout.write(JSON.stringify(o) + "\n");
// Output is read to its end, as a job runner that keeps it must.
const runTrue = () => new Promise((resolve, reject) => {
  const child = spawn("/bin/sh", ["-c", "true"], { stdio: ["ignore", "pipe", "pipe"] });
  let out = 0;
  child.stdout.on("data", (d) => (out += d.length));
  child.stderr.on("data", (d) => (out += d.length));
  child.on("error", reject);
  child.on("close", (code) => (code === 0 ? resolve(out) : reject(new Error("exit " + code))));
});
const task = verb === "exec" ? runTrue : async () => {};

async function graphile() {
  const { run, makeWorkerUtils, Logger } = require("graphile-worker");
  const { Pool } = require("pg");
  const logger = new Logger(() => (level, message) => { if (level === "error") console.error(message); });
  const pool = new Pool({ connectionString, max: options.pool ?? 10 });
  const utils = await makeWorkerUtils({ pgPool: pool, logger });
  await utils.migrate();
  const fill = async (n, chunk) => {
    for (let left = n; left > 0; left -= chunk) {
      const specs = [];
      for (let i = 0; i < Math.min(left, chunk); i++) specs.push({ identifier: "task", payload: { id: i } });
      await utils.addJobs(specs);
    }
  };
  if (verb === "enqueue") {
    const clients = options.clients ?? 2;
    const start = performance.now();
    await Promise.all(Array.from({ length: clients }, () => fill(count / clients, options.chunk ?? 1000)));
    emit({ seconds: (performance.now() - start) / 1000 });
  } else if (verb === "latency") {
    const times = [];
    let resolve;
    const runner = await run({ pgPool: pool, logger, concurrency: 4, pollInterval: 2000, noHandleSignals: true, taskList: { task: async () => resolve(performance.now()) } });
    for (let i = 0; i < count; i++) {
      await sleep(5);
      const started = new Promise((r) => (resolve = r));
      const start = performance.now();
      await utils.addJob("task", { id: i });
      times.push((await started) - start);
    }
    await runner.stop();
    emit({ times });
  } else {
    await fill(count, 10000);
    await pool.query("analyze graphile_worker._private_jobs");
    emit({ ready: true });
    let done = 0, all;
    const finished = new Promise((r) => (all = r));
    const start = performance.now();
    const runner = await run({
      preset: { worker: {
        concurrentJobs: options.jobs ?? 24, pollInterval: 100, completeJobBatchDelay: options.completeDelay ?? 0, failJobBatchDelay: 0,
        localQueue: { size: options.localQueue ?? 500, refetchDelay: { durationMs: 10, threshold: 0, maxAbortThreshold: 10 } },
      } },
      pgPool: pool, logger, noHandleSignals: true,
      taskList: { task: async () => { await task(); if (++done === count) all(); } },
    });
    await finished;
    // Done is done when the completions are in the table.
    while ((await pool.query("select exists (select from graphile_worker._private_jobs) as left")).rows[0].left) await sleep(2);
    emit({ seconds: (performance.now() - start) / 1000 });
    await runner.stop();
  }
  await utils.release();
  await pool.end();
}

async function pgboss() {
  const PgBoss = require("pg-boss");
  const boss = new PgBoss({ connectionString, max: options.pool ?? 10, supervise: false, schedule: false });
  boss.on("error", (e) => console.error(e.message));
  await boss.start();
  await boss.createQueue("task");
  for (let left = count; left > 0; left -= 5000) await boss.insert(Array.from({ length: Math.min(left, 5000) }, (_, i) => ({ name: "task", data: { id: i } })));
  emit({ ready: true });
  let done = 0;
  const start = performance.now();
  // Batches are claimed at once and completed at once; within one, so many run together.
  const loop = async () => {
    while (done < count) {
      const jobs = await boss.fetch("task", { batchSize: options.batch ?? 50 });
      if (!jobs?.length) { if (done < count) await sleep(5); continue; }
      const left = jobs.slice();
      await Promise.all(Array.from({ length: options.jobs ?? 8 }, async () => { for (let j; (j = left.pop()); ) await task(); }));
      await boss.complete("task", jobs.map((j) => j.id));
      done += jobs.length;
    }
  };
  await Promise.all(Array.from({ length: options.loops ?? 2 }, loop));
  emit({ seconds: (performance.now() - start) / 1000 });
  await boss.stop({ graceful: false });
}

await ({ graphile, pgboss })[system]();
process.exit(0);
