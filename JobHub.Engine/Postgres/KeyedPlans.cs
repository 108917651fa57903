namespace JobHub.Engine.Postgres;

/// <summary>
/// Planner settings for one transaction whose statements reach every row by its key, a batch at a time. A plan is made once (decision 0016), often while its tables are
/// still empty; by their size then, reading them whole looks cheapest, and stays the plan when they have grown a thousandfold.
/// </summary>
internal static class KeyedPlans
{
    /// <summary>Sent before the statement, in the same transaction or the same batch (which is one).</summary>
    public const string Sql = """
        SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true), set_config('enable_seqscan', 'off', true),
               set_config('enable_bitmapscan', 'off', true), set_config('enable_material', 'off', true), set_config('jit', 'off', true), set_config('max_parallel_workers_per_gather', '0', true)
        """;

    /// <summary>The same where a statement also names the index by the order it asks for: on a table without statistics another index and a sort would look as cheap.</summary>
    public const string OrderedSql = Sql + ", set_config('enable_sort', 'off', true), set_config('enable_incremental_sort', 'off', true)";

    /// <summary>
    /// Back to the planner's own ways within the transaction, before a statement that joins what it has in hand: a plan is kept as it was made, and one by key for ten thousand
    /// new rows would compare each with each.
    /// </summary>
    public const string EndSql = """
        SELECT set_config('enable_hashjoin', 'on', true), set_config('enable_mergejoin', 'on', true), set_config('enable_seqscan', 'on', true),
               set_config('enable_bitmapscan', 'on', true), set_config('enable_material', 'on', true)
        """;
}
