using JobHub.Engine.Postgres;
using JobHub.Testing;
using Microsoft.EntityFrameworkCore;
using Xunit;

namespace JobHub.Engine.Tests.Postgres;

/// <summary>The SQL files are the schema and the EF model is written beside them by hand: here they are compared.</summary>
public sealed class DriftTests
{
    [Fact]
    public async Task Model_EveryEntity_CanBeQueriedAndMatchesTheMigratedTable()
    {
        await using var engine = await EngineHost.StartAsync(upkeep: false);
        await using var context = await engine.Get<IDbContextFactory<JobHubDbContext>>().CreateDbContextAsync();
        var entities = context.Model.GetEntityTypes().ToArray();

        Assert.NotEmpty(entities);
        foreach (var entity in entities)
        {
            await QueryAsync(context, entity.ClrType);
            var table = await ColumnsAsync(engine, entity.GetTableName()!);
            foreach (var property in entity.GetProperties())
            {
                var column = $"{entity.GetTableName()}.{property.GetColumnName()}";
                Assert.True(table.TryGetValue(property.GetColumnName(), out var real), $"{column} is in the model and not in the schema.");
                Assert.True(property.GetColumnType() == real.Type, $"{column} is {real.Type} in the schema and {property.GetColumnType()} in the model.");
                Assert.True(property.IsNullable == real.Nullable, $"{column}: nullable is {real.Nullable} in the schema and {property.IsNullable} in the model.");
            }

            var key = entity.FindPrimaryKey()!.Properties.Select(p => p.GetColumnName()).Order(StringComparer.Ordinal);
            Assert.Equal(table.Where(c => c.Value.InKey).Select(c => c.Key).Order(StringComparer.Ordinal), key);
        }
    }

    [Fact]
    public async Task Migrations_OfTheAssembly_AreAllApplied()
    {
        await using var engine = await EngineHost.StartAsync(upkeep: false);
        await using var context = await engine.Get<IDbContextFactory<JobHubDbContext>>().CreateDbContextAsync();

        Assert.Empty(await context.Database.GetPendingMigrationsAsync());
        Assert.Equal(context.Database.GetMigrations(), await context.Database.GetAppliedMigrationsAsync());
        // Each SQL file belongs to a migration, or it would never run.
        var files = typeof(JobHubDbContext).Assembly.GetManifestResourceNames().Where(n => n.EndsWith(".sql", StringComparison.Ordinal))
            .Select(n => n.Replace("JobHub.Engine.Postgres.Migrations.", "", StringComparison.Ordinal)[..^4]);
        Assert.Equal(context.Database.GetMigrations().Order(StringComparer.Ordinal), files.Order(StringComparer.Ordinal));
    }

    private static async Task QueryAsync(JobHubDbContext context, Type entity)
    {
        var set = (IQueryable<object>)typeof(DbContext).GetMethod(nameof(DbContext.Set), Type.EmptyTypes)!.MakeGenericMethod(entity).Invoke(context, null)!;
        await set.FirstOrDefaultAsync();
    }

    private static async Task<Dictionary<string, (string Type, bool Nullable, bool InKey)>> ColumnsAsync(EngineHost engine, string table)
    {
        await using var command = engine.Database.CreateCommand("""
            SELECT a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull, coalesce(a.attnum = ANY(i.indkey), false)
            FROM pg_attribute a LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
            WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped
            """);
        command.Parameters.AddWithValue(table);
        await using var reader = await command.ExecuteReaderAsync();
        var columns = new Dictionary<string, (string, bool, bool)>(StringComparer.Ordinal);
        while (await reader.ReadAsync()) columns[reader.GetString(0)] = (reader.GetString(1), reader.GetBoolean(2), reader.GetBoolean(3));
        return columns;
    }
}
