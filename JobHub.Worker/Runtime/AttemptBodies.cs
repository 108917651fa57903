using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;
using JobHub.Engine.Tasks;

namespace JobHub.Worker.Runtime;

/// <summary>The body for an attempt, by its kind and the type of its program. Bodies keep nothing between attempts.</summary>
public sealed class AttemptBodies
{
    private readonly Dictionary<(TaskKind Kind, ProgramType Type), Func<IAttemptBody>> _makers = [];

    public AttemptBodies Add(TaskKind kind, ProgramType type, Func<IAttemptBody> make)
    {
        _makers[(kind, type)] = make;
        return this;
    }

    public IAttemptBody Of(AttemptSpec spec)
    {
        var type = spec.Kind switch
        {
            TaskKind.Map => spec.Map?.Mapper.Type ?? ProgramType.Streaming,
            TaskKind.Reduce => spec.Reduce?.Reducer.Type ?? ProgramType.Streaming,
            _ => ProgramType.Streaming,
        };
        return _makers.TryGetValue((spec.Kind, type), out var make) ? make()
            : throw new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.Unsupported, $"This worker cannot run {type} {spec.Kind} tasks.");
    }
}
