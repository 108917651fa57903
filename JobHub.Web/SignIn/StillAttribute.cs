namespace JobHub.Web.SignIn;

/// <summary>On a page with a form: nothing loads it again while somebody types.</summary>
[AttributeUsage(AttributeTargets.Class)]
public sealed class StillAttribute : Attribute;
