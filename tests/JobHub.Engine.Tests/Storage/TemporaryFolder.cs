namespace JobHub.Engine.Tests.Storage;

/// <summary>A folder for one test, gone after it.</summary>
public sealed class TemporaryFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("jobhub-store-").FullName;

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
