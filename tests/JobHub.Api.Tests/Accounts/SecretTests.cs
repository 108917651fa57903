using System.Collections.Concurrent;
using System.Text;
using System.Text.Json.Nodes;
using JobHub.Engine.Accounts;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobHub.Api.Tests.Accounts;

/// <summary>Tokens, passwords and providers' secrets stand nowhere but with whom they were given to: in the database as hashes only.</summary>
[Collection(HubCollection.Name)]
public sealed class SecretTests(HubFixture fixture)
{
    private const string Password = "a-password-to-look-for-9f2c", NextPassword = "another-password-to-look-for-77ab", WrongPassword = "wrong-password-to-look-for-41d0", ProviderToken = "providers-token-to-look-for-55aa";

    [Fact]
    public async Task Secrets_AfterAllThatCanBeDoneWithThem_AreFoundNowhere()
    {
        var folder = Directory.CreateTempSubdirectory("jobhub-secrets-").FullName;
        await using var provider = await ProviderDouble.StartAsync();
        await using var hub = await HubHost.StartAsync(fixture.Postgres, "Production", provider.Settings(folder, "--Logging:LogLevel:Default=Trace", "--Logging:LogLevel:Microsoft.AspNetCore=Debug"));
        var log = new KeptLog();
        hub.Services.GetRequiredService<ILoggerFactory>().AddProvider(log);
        var (secrets, answers) = (new List<string> { Password, NextPassword, WrongPassword, ProviderToken, ProviderDouble.ClientSecret, HubHost.AdminToken, HubHost.WorkerToken }, new StringBuilder());
        using var admin = hub.NewClient(HubHost.AdminToken);

        // What is made with them; answers that give a token out are the only ones that are not kept.
        await KeepAsync(admin.PostAsync("/hub/v1/users", new JsonObject { ["name"] = "ada", ["password"] = Password, ["role"] = "admin" }));
        await KeepAsync(admin.PostAsync("/hub/v1/users", new JsonObject { ["name"] = "ada", ["password"] = Password, ["extra"] = Password }));
        await KeepAsync(SignInAsync(WrongPassword));
        var session = await TokenOfAsync(SignInAsync(Password));
        using var ada = hub.NewClient(session);
        var made = await TokenOfAsync(ada.PostAsync("/hub/v1/tokens", """{"name":"for a program","scopes":["admin"]}""".AsJson()));
        using var program = hub.NewClient(made);
        provider.Tokens[ProviderToken] = new() { ["sub"] = "1", ["preferred_username"] = "grace" };
        await TokenOfAsync(hub.Client.PostAsync("/hub/v1/sign-in/provider", new JsonObject { ["provider"] = "google", ["token"] = ProviderToken }));
        using var grace = hub.NewClient(ProviderToken);
        await KeepAsync(grace.GetAsync("/projects?provider=google"));
        await KeepAsync(grace.GetAsync("/projects?provider=lab"));
        await KeepAsync(hub.Client.PostAsync("/hub/v1/sign-in/provider", new JsonObject { ["provider"] = "lab", ["token"] = WrongPassword }));
        await KeepAsync(ada.PostAsync("/hub/v1/me/password", new JsonObject { ["old"] = WrongPassword, ["new"] = NextPassword }));
        await KeepAsync(ada.PostAsync("/hub/v1/me/password", new JsonObject { ["old"] = Password, ["new"] = NextPassword }));
        await KeepAsync(admin.PatchAsync("/hub/v1/users/ada", new JsonObject { ["password"] = Password }.ToJsonString().AsJson()));
        await KeepAsync(program.PutAsync("/api/jobs", """{"title":"by the program"}""".AsJson()));
        await KeepAsync(program.PostAsync("/hub/v1/webhooks", """{"url":"http://receiver.invalid/"}""".AsJson()));
        provider.Broken = System.Net.HttpStatusCode.BadGateway;
        using var unknown = hub.NewClient(WrongPassword);
        await KeepAsync(unknown.GetAsync("/projects?provider=google"));
        await KeepAsync(unknown.GetAsync("/hub/v1/jobs"));

        // Every answer to a GET, and what the log says meanwhile.
        foreach (var endpoint in hub.Services.GetRequiredService<EndpointDataSource>().Endpoints.OfType<RouteEndpoint>())
        {
            if (endpoint.Metadata.GetMetadata<IHttpMethodMetadata>()?.HttpMethods.Contains("GET") == false) continue;
            var path = "/" + string.Join('/', endpoint.RoutePattern.PathSegments.Select(static segment => string.Concat(segment.Parts.Select(static part =>
                part is Microsoft.AspNetCore.Routing.Patterns.RoutePatternParameterPart parameter ? parameter.Name == "name" ? "ada" : "1" : ((Microsoft.AspNetCore.Routing.Patterns.RoutePatternLiteralPart)part).Content))));
            if (path.EndsWith("/events", StringComparison.Ordinal)) continue;
            await KeepAsync(admin.GetAsync(path));
            await KeepAsync(program.GetAsync(path));
        }

        await KeepAsync(admin.GetAsync("/hub/v1/tokens?user=ada"));
        await KeepAsync(admin.GetAsync("/hub/v1/audit?limit=500"));
        await KeepAsync(ada.PostAsync("/hub/v1/sign-out", null));
        var database = await DumpAsync(hub.Services.GetRequiredService<NpgsqlDataSource>());

        Assert.Contains("Name and password do not fit", answers.ToString());
        Assert.Contains("for a program", database);
        Assert.Contains(Convert.ToHexStringLower(TokenText.Hash(made)), database);
        Assert.False(log.Lines.IsEmpty);
        foreach (var secret in secrets)
        {
            Assert.DoesNotContain(secret, answers.ToString());
            Assert.DoesNotContain(secret, database);
            Assert.DoesNotContain(log.Lines, line => line.Contains(secret, StringComparison.Ordinal));
        }

        Directory.Delete(folder, recursive: true);

        Task<HttpResponseMessage> SignInAsync(string password) => hub.Client.PostAsync("/hub/v1/sign-in", new JsonObject { ["name"] = "ada", ["password"] = password });

        async Task KeepAsync(Task<HttpResponseMessage> call)
        {
            using var answer = await call;
            answers.Append(answer.Headers).AppendLine(await answer.Content.ReadAsStringAsync());
        }

        async Task<string> TokenOfAsync(Task<HttpResponseMessage> call)
        {
            using var answer = await call;
            var token = (string)(await answer.JsonAsync())["token"]!;
            secrets.Add(token);
            return token;
        }
    }

    /// <summary>Every row of every table as text.</summary>
    private static async Task<string> DumpAsync(NpgsqlDataSource database)
    {
        var tables = new List<string>();
        await using (var list = database.CreateCommand("SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"))
        await using (var reader = await list.ExecuteReaderAsync())
        {
            while (await reader.ReadAsync()) tables.Add(reader.GetString(0));
        }

        var text = new StringBuilder();
        foreach (var table in tables)
        {
            await using var rows = database.CreateCommand($"SELECT t::text FROM {table} t");
            await using var reader = await rows.ExecuteReaderAsync();
            while (await reader.ReadAsync()) text.AppendLine(reader.GetString(0));
        }

        return text.ToString();
    }

    private sealed class KeptLog : ILoggerProvider, ILogger
    {
        public ConcurrentQueue<string> Lines { get; } = new();

        public ILogger CreateLogger(string categoryName) => this;

        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            Lines.Enqueue(formatter(state, exception) + exception);

        public void Dispose()
        {
        }
    }
}
