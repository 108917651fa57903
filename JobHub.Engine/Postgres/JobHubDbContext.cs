using Microsoft.EntityFrameworkCore;

namespace JobHub.Engine.Postgres;

/// <summary>The EF model: schema versions, and plain reads and CRUD. The hot path is exact SQL (Tasks/TaskQueue.cs).</summary>
public sealed class JobHubDbContext(DbContextOptions<JobHubDbContext> options) : DbContext(options)
{
    /// <summary>Artifacts, all versions.</summary>
    public DbSet<ArtifactRow> Artifacts => Set<ArtifactRow>();

    /// <summary>Worker sessions, open and ended.</summary>
    public DbSet<WorkerSessionRow> WorkerSessions => Set<WorkerSessionRow>();

    /// <inheritdoc />
    protected override void OnModelCreating(ModelBuilder modelBuilder)
    {
        modelBuilder.Entity<ArtifactRow>(e =>
        {
            e.ToTable("artifact").HasKey(a => new { a.Name, a.Version });
            e.Property(a => a.Name).HasColumnName("name");
            e.Property(a => a.Version).HasColumnName("version");
            e.Property(a => a.Type).HasColumnName("type");
            e.Property(a => a.Size).HasColumnName("size");
            e.Property(a => a.Hash).HasColumnName("hash");
            e.Property(a => a.CreatedAt).HasColumnName("created_at").HasDefaultValueSql("clock_timestamp()");
            e.Property(a => a.DeletedAt).HasColumnName("deleted_at");
        });
        modelBuilder.Entity<WorkerSessionRow>(e =>
        {
            e.ToTable("worker_session").HasKey(s => s.Id);
            e.Property(s => s.Id).HasColumnName("id");
            e.Property(s => s.Worker).HasColumnName("worker");
            e.Property(s => s.Host).HasColumnName("host");
            e.Property(s => s.Slots).HasColumnName("slots");
            e.Property(s => s.Isolation).HasColumnName("isolation");
            e.Property(s => s.Version).HasColumnName("version");
            e.Property(s => s.Load).HasColumnName("load");
            e.Property(s => s.FreeMemory).HasColumnName("free_memory");
            e.Property(s => s.OpenedAt).HasColumnName("opened_at");
            e.Property(s => s.LeaseUntil).HasColumnName("lease_until");
            e.Property(s => s.EndedAt).HasColumnName("ended_at");
            e.Property(s => s.EndReason).HasColumnName("end_reason");
        });
    }
}

/// <summary>One version of an artifact.</summary>
public sealed class ArtifactRow
{
    public required string Name { get; init; }
    public required int Version { get; init; }
    public required short Type { get; init; }
    public required long Size { get; init; }
    public required string Hash { get; init; }
    public DateTimeOffset CreatedAt { get; init; }
    public DateTimeOffset? DeletedAt { get; set; }
}

/// <summary>One session of one worker.</summary>
public sealed class WorkerSessionRow
{
    public long Id { get; init; }
    public required string Worker { get; init; }
    public required string Host { get; init; }
    public int Slots { get; init; }
    public required string Isolation { get; init; }
    public required string Version { get; init; }
    public float Load { get; init; }
    public long FreeMemory { get; init; }
    public DateTimeOffset OpenedAt { get; init; }
    public DateTimeOffset LeaseUntil { get; init; }
    public DateTimeOffset? EndedAt { get; init; }
    public string? EndReason { get; init; }
}
