using System.Reflection;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Migrations;

namespace JobHub.Engine.Postgres;

/// <summary>A schema version whose SQL is written by hand in Migrations/&lt;id&gt;.sql.</summary>
public abstract class SqlMigration : Migration
{
    /// <inheritdoc />
    protected override void Up(MigrationBuilder migrationBuilder)
    {
        var id = GetType().GetCustomAttribute<MigrationAttribute>()!.Id;
        using var resource = typeof(SqlMigration).Assembly.GetManifestResourceStream($"JobHub.Engine.Postgres.Migrations.{id}.sql")
            ?? throw new InvalidOperationException($"The SQL of migration {id} is not in the assembly.");
        using var reader = new StreamReader(resource);
        migrationBuilder.Sql(reader.ReadToEnd());
    }
}

/// <summary>The first schema.</summary>
[DbContext(typeof(JobHubDbContext)), Migration("0001_initial")]
public sealed class Initial : SqlMigration;

/// <summary>Names of jobs, and files of projects and jobs.</summary>
[DbContext(typeof(JobHubDbContext)), Migration("0002_files")]
public sealed class Files : SqlMigration;

/// <summary>Cursors over the ledger, webhooks and their deliveries.</summary>
[DbContext(typeof(JobHubDbContext)), Migration("0003_delivery")]
public sealed class Delivery : SqlMigration;

/// <summary>Trees of jobs, dependencies, and workers by name.</summary>
[DbContext(typeof(JobHubDbContext)), Migration("0004_trees")]
public sealed class Trees : SqlMigration;

/// <summary>Accounts, tokens, projects with their members, and the audit.</summary>
[DbContext(typeof(JobHubDbContext)), Migration("0005_accounts")]
public sealed class Accounts : SqlMigration;

/// <summary>Typing data of projects and what was worked out from it.</summary>
[DbContext(typeof(JobHubDbContext)), Migration("0006_projects")]
public sealed class Projects : SqlMigration;

/// <summary>What lists of jobs are searched, sorted and counted by.</summary>
[DbContext(typeof(JobHubDbContext)), Migration("0007_search")]
public sealed class Search : SqlMigration;

/// <summary>Changes of many jobs at once.</summary>
[DbContext(typeof(JobHubDbContext)), Migration("0010_bulk")]
public sealed class Bulk : SqlMigration;

/// <summary>Numbers of what happened, of the queue and of workers, by minute.</summary>
[DbContext(typeof(JobHubDbContext)), Migration("0011_statistics")]
public sealed class StatisticTables : SqlMigration;

/// <summary>Who made a file, and which jobs use a program.</summary>
[DbContext(typeof(JobHubDbContext)), Migration("0012_data")]
public sealed class FilesAndPrograms : SqlMigration;

/// <summary>Brings a database to this version. Safe from several processes at once: EF takes a lock.</summary>
public static class Schema
{
    /// <summary>Applies what is missing.</summary>
    public static async Task MigrateAsync(IDbContextFactory<JobHubDbContext> contexts, CancellationToken ct)
    {
        await using var context = await contexts.CreateDbContextAsync(ct);
        await context.Database.MigrateAsync(ct);
    }
}
