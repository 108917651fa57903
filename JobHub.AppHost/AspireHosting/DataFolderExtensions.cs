namespace JobHub.AppHost;

/// <summary>What the data folder means to Aspire: nothing; its orchestrator keeps Postgres in a volume and prints on its own dashboard.</summary>
internal static class DataFolderExtensions
{
    public static IDistributedApplicationBuilder UseDataFolder(this IDistributedApplicationBuilder builder, HubFolder folder, HubArguments arguments) => builder;
}
