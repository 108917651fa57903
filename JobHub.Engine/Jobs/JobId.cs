namespace JobHub.Engine.Jobs;

/// <summary>A job's public identity: uuid v7, so that ids sort by the time of submission.</summary>
public readonly record struct JobId(Guid Value)
{
    /// <summary>A new id.</summary>
    public static JobId New() => new(Guid.CreateVersion7());

    /// <summary>Reads an id from a route. Text that cannot be an id is null: the route answers 404, never an empty 400.</summary>
    public static JobId? TryRead(string? text) => Guid.TryParse(text, out var value) ? new JobId(value) : null;

    /// <inheritdoc />
    public override string ToString() => Value.ToString("D");
}
