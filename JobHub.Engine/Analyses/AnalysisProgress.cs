namespace JobHub.Engine.Analyses;

/// <summary>Adds up work that several threads do and tells it on in steps of half a percent, never backwards.</summary>
internal sealed class AnalysisProgress(IProgress<double> target, double total)
{
    private readonly Lock telling = new();
    private double done;
    private double told;

    public void Add(double work)
    {
        lock (telling)
        {
            done += work;
            var share = Math.Min(1, total <= 0 ? 1 : done / total);
            if (share < told + 0.005) return;
            told = share;
            target.Report(share);
        }
    }
}
