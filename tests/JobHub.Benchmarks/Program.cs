using JobHub.Benchmarks.Analyses;
using JobHub.Benchmarks.Farm;
using JobHub.Benchmarks.Measuring;
using JobHub.Benchmarks.Pages;
using JobHub.Benchmarks.Queue;
using JobHub.Benchmarks.Runtime;

// benchmarks VERB [--n N] [--runs N] [--out FILE] [--peers FOLDER] ...     `all` runs every verb.
// A verb measures one thing and answers its table; what it is and what it is measured beside stands in the table.
var verbs = new Dictionary<string, Func<Arguments, Task<Table>>>(StringComparer.Ordinal)
{
    ["queue"] = DrainBenchmark.RunAsync,
    ["protocol"] = ProtocolBenchmark.RunAsync,
    ["forms"] = FormBenchmark.RunAsync,
    ["exec"] = ExecBenchmark.RunAsync,
    ["enqueue"] = EnqueueBenchmark.RunAsync,
    ["list"] = ListBenchmark.RunAsync,
    ["latency"] = LatencyBenchmark.RunAsync,
    ["farm-create"] = FarmCreateBenchmark.RunAsync,
    ["farm-lists"] = FarmListsBenchmark.RunAsync,
    ["farm-true"] = FarmTrueBenchmark.RunAsync,
    ["wordcount"] = StreamingComparison.WordCountAsync,
    ["tokenise"] = StreamingComparison.TokeniseAsync,
    ["sort"] = StreamingComparison.SortAsync,
    ["pages"] = PageBenchmark.RunAsync,
    ["job-page"] = JobPageBenchmark.RunAsync,
    ["goeburst"] = GoeBurstBenchmark.RunAsync,
};
return await Verbs.RunAsync(verbs, args);
