using JobHub.Engine.Jobs;

namespace JobHub.Engine.Tasks;

/// <summary>Where a task's id comes from: (job number &lt;&lt; 20) | index, indexes by kind in the order map, reduce, command, analysis.</summary>
/// <remarks>Ids of one job are one range of the queue's primary key, ties in rank are first in, first out, and no sequence is drawn a task.</remarks>
public readonly record struct TaskLayout(long Number, int Maps, int Reduces, int Commands, int Analyses)
{
    /// <summary>Tasks a job may have.</summary>
    public const int MaxTasks = 1 << 20;

    public int Total => Maps + Reduces + Commands + Analyses;

    public long First => Number << 20;

    /// <summary>The id of a task by kind and index, or null when the job has no such task.</summary>
    public long? IdOf(TaskKind kind, int index)
    {
        var (first, count) = RangeOf(kind);
        return index >= 0 && index < count ? first + index : null;
    }

    /// <summary>The first id of a kind, and how many there are.</summary>
    public (long First, int Count) RangeOf(TaskKind kind) => kind switch
    {
        TaskKind.Map => (First, Maps), TaskKind.Reduce => (First + Maps, Reduces), TaskKind.Command => (First + Maps + Reduces, Commands),
        _ => (First + Maps + Reduces + Commands, Analyses),
    };

    /// <summary>Kind and index of a task id of this job.</summary>
    public (TaskKind Kind, int Index) Of(long taskId)
    {
        var i = (int)(taskId - First);
        if (i < Maps) return (TaskKind.Map, i);
        if ((i -= Maps) < Reduces) return (TaskKind.Reduce, i);
        return (i -= Reduces) < Commands ? (TaskKind.Command, i) : (TaskKind.Analysis, i - Commands);
    }

    /// <summary>The job's number of a task id.</summary>
    public static long NumberOf(long taskId) => taskId >> 20;

    public static TaskLayout Of(long number, IReadOnlyList<TaskGroup> groups)
    {
        int Count(TaskKind kind) => groups.Where(g => g.Kind == kind).Sum(g => g.Count);
        return new(number, Count(TaskKind.Map), Count(TaskKind.Reduce), Count(TaskKind.Command), Count(TaskKind.Analysis));
    }
}
