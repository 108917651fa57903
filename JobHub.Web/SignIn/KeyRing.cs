using Microsoft.AspNetCore.DataProtection;

namespace JobHub.Web.SignIn;

/// <summary>The keys that seal cookies and forms.</summary>
internal static partial class KeyRing
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;

    public static void AddKeyRing(this WebApplicationBuilder builder, WebSettings settings)
    {
        // They warn of what is decided here: keys that end with the process, and keys that lie open in a folder only its owner enters.
        builder.Logging.AddFilter("Microsoft.AspNetCore.DataProtection", LogLevel.Error);
        var protection = builder.Services.AddDataProtection().SetApplicationName("JobHub.Web");
        if (settings.KeysFolder is not { Length: > 0 } folder)
        {
            protection.UseEphemeralDataProtectionProvider();
            return;
        }

        try
        {
            if (!Directory.Exists(folder)) Directory.CreateDirectory(folder, OwnerOnly);
            else if (File.GetUnixFileMode(folder) != OwnerOnly) File.SetUnixFileMode(folder, OwnerOnly);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new WebStartException($"JobHub:Web:KeysFolder {folder} cannot be a folder that only its owner enters: {e.Message}");
        }

        protection.PersistKeysToFileSystem(new DirectoryInfo(folder));
    }

    /// <summary>Says what a missing folder means, where it matters.</summary>
    public static void SayKeys(this WebApplication app, WebSettings settings)
    {
        if (settings.KeysFolder is not { Length: > 0 } && !app.Environment.IsDevelopment()) app.Logger.KeysEndWithTheProcess();
    }

    [LoggerMessage(1201, LogLevel.Warning, "JobHub:Web:KeysFolder is not set: a restart signs everybody out, and several dashboards do not know each other's cookies")]
    private static partial void KeysEndWithTheProcess(this ILogger logger);
}

/// <summary>The dashboard cannot start so; the message is for whoever starts it.</summary>
public sealed class WebStartException(string message) : Exception(message);
