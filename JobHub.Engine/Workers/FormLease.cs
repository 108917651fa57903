namespace JobHub.Engine.Workers;

/// <summary>
/// The lease of a form worker, which says by its calls alone how often it calls: four times the longest gap between its last five calls, at least eight seconds, and a minute
/// until two gaps are known. By Postgres' clock, over <c>worker_session s</c> before this call is added to it.
/// </summary>
public static class FormLease
{
    /// <summary>Adds this call, and keeps the last five.</summary>
    public const string CallsSql = "calls = (s.calls || clock_timestamp())[greatest(cardinality(s.calls) - 3, 1):]";

    /// <summary>How long the lease is that this call begins.</summary>
    public const string LengthSql = """
        CASE WHEN cardinality(s.calls) < 2 THEN interval '60 seconds'
             ELSE greatest(interval '8 seconds', 4 * greatest(
                 clock_timestamp() - s.calls[cardinality(s.calls)], s.calls[cardinality(s.calls)] - s.calls[cardinality(s.calls) - 1],
                 s.calls[cardinality(s.calls) - 1] - s.calls[cardinality(s.calls) - 2], s.calls[cardinality(s.calls) - 2] - s.calls[cardinality(s.calls) - 3])) END
        """;

    /// <summary>
    /// Renews the lease. It stands in an index, so it is moved four times a second at most and is up to a quarter of a second longer instead: a worker of tiny jobs calls
    /// hundreds of times.
    /// </summary>
    public const string RenewSql = $"""
        lease_until = CASE WHEN s.lease_until - clock_timestamp() - ({LengthSql}) BETWEEN interval '0' AND interval '250 milliseconds' THEN s.lease_until
                           ELSE clock_timestamp() + ({LengthSql}) + interval '250 milliseconds' END
        """;
}
