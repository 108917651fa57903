Console.WriteLine("JobHub");
