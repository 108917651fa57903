using JobHub.Engine.Workers;
using JobHub.Testing;
using Npgsql;
using NpgsqlTypes;
using Xunit;

namespace JobHub.Engine.Tests.Workers;

/// <summary>How long a form worker's lease is, by its last calls and by Postgres' clock.</summary>
public sealed class FormLeaseTests(FormLeaseTests.Server server) : IClassFixture<FormLeaseTests.Server>
{
    /// <summary>One Postgres for all of them.</summary>
    public sealed class Server : IAsyncLifetime
    {
        public PostgresServer Postgres { get; private set; } = null!;

        public NpgsqlDataSource Database { get; private set; } = null!;

        public async Task InitializeAsync()
        {
            Postgres = await PostgresServer.StartAsync();
            Database = NpgsqlDataSource.Create(await Postgres.CreateDatabaseAsync());
        }

        public async Task DisposeAsync()
        {
            await Database.DisposeAsync();
            await Postgres.DisposeAsync();
        }
    }

    // Seconds ago of the calls before this one, oldest first.
    [Theory]
    [InlineData(new double[0], 60)]
    [InlineData(new double[] { 1 }, 60)]
    [InlineData(new double[] { 2, 1 }, 8)]
    [InlineData(new double[] { 8, 6, 4, 2 }, 8)]
    [InlineData(new double[] { 60, 30 }, 120)]
    [InlineData(new double[] { 120, 90, 60, 30 }, 120)]
    [InlineData(new double[] { 100, 96, 94, 92 }, 368)]
    [InlineData(new double[] { 20, 10, 4, 1 }, 40)]
    [InlineData(new double[] { 7, 5 }, 20)]
    public async Task Lease_ByTheLastCalls_IsFourTimesTheLongestGapAtLeastEightSecondsAndAMinuteUntilTwoAreKnown(double[] ago, double seconds)
    {
        await using var command = server.Database.CreateCommand($"""
            SELECT extract(epoch FROM {FormLease.LengthSql})::double precision
            FROM (SELECT ARRAY (SELECT clock_timestamp() - make_interval(secs => a) FROM unnest($1) WITH ORDINALITY AS u(a, n) ORDER BY n) AS calls) s
            """);
        command.Parameters.Add(new() { Value = ago, NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Double });
        // The clock goes on between the two reads of it.
        Assert.InRange((double)(await command.ExecuteScalarAsync())!, seconds - 0.5, seconds + 2);
    }

    [Theory]
    [InlineData(60, 8)]
    [InlineData(3, 8)]
    [InlineData(-5, 8)]
    [InlineData(8.1, 8)]
    public async Task Renew_WhateverWasLeft_LeavesTheLengthAndAtMostAQuarterOfASecondMore(double left, double seconds)
    {
        await using var command = server.Database.CreateCommand($"""
            CREATE TEMP TABLE r AS SELECT clock_timestamp() + make_interval(secs => {left.ToString(System.Globalization.CultureInfo.InvariantCulture)}) AS lease_until,
                ARRAY[clock_timestamp() - interval '2 seconds', clock_timestamp() - interval '1 second'] AS calls;
            UPDATE r s SET {FormLease.RenewSql};
            WITH gone AS (SELECT extract(epoch FROM lease_until - clock_timestamp())::double precision AS length FROM r) SELECT length FROM gone
            """);
        Assert.InRange((double)(await command.ExecuteScalarAsync())!, seconds - 0.5, seconds + 0.25);
        await using var drop = server.Database.CreateCommand("DROP TABLE IF EXISTS r");
        await drop.ExecuteNonQueryAsync();
    }

    [Fact]
    public async Task Calls_AsTheyCome_AreTheLastFive()
    {
        await using var command = server.Database.CreateCommand($"""
            CREATE TEMP TABLE t AS SELECT '{"{}"}'::timestamptz[] AS calls;
            {string.Concat(Enumerable.Repeat($"UPDATE t s SET {FormLease.CallsSql};\n", 7))}
            SELECT cardinality(calls), calls[5] > calls[4] AND calls[2] > calls[1], array_lower(calls, 1) FROM t
            """);
        await using var reader = await command.ExecuteReaderAsync();
        Assert.True(await reader.ReadAsync());
        Assert.Equal((5, true, 1), (reader.GetInt32(0), reader.GetBoolean(1), reader.GetInt32(2)));
    }
}
