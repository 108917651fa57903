using JobHub.Worker.Executors.Processes;

namespace JobHub.Worker.Runtime;

/// <summary>Scratch folders of attempts: named by token, below this worker process' own folder, so that a dead worker's can be told and removed.</summary>
public sealed class ScratchOnDisk(ScratchFolders folders) : IScratch
{
    public string Create(Guid token) => folders.Create(token.ToString("N"));

    public void Remove(string folder) => folders.Remove(folder);
}
